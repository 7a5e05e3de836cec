-- At most 256 for one job: the oldest go.
delete from accepted where job = ?1 and (endpoint, sha256) not in (
	select endpoint, sha256 from accepted where job = ?1 order by at desc limit 256)
