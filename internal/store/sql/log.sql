insert into log (n, at, job, owner, kind, file, text) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
