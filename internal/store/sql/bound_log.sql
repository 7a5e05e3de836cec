-- Of one job: the first ?2 lines, and of the others the newest, together at most ?3 lines and about ?4 bytes.
delete from log where n in (
	select n from (
		select n, row_number() over (order by n) as place, row_number() over (order by n desc) as back, sum(length(text)) over (order by n desc) as bytes
		from log where job = ?1)
	where place > ?2 and (back > ?3 - ?2 or bytes > ?4))
