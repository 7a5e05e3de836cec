delete from event where at < ?1 or n <= (select coalesce(max(n), 0) from event) - ?2
