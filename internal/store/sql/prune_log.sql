-- Numbers grow with time, so the lines that are too old are those before the first that is not.
delete from log where n < coalesce((select n from log where at >= ?1 order by n limit 1), (select max(n) + 1 from log))
	or n <= (select n from log order by n desc limit 1 offset ?2)
