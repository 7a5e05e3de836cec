insert into file (job, n, remote, local, temporary, size, validator, done, finished, completed, original, details, pieces) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
on conflict (job, n) do update set remote = ?3, local = ?4, temporary = ?5, size = ?6, validator = ?7, done = ?8, finished = ?9, completed = ?10, original = ?11, details = ?12
