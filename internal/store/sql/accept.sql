insert into accepted (job, endpoint, sha256, at) values (?1, ?2, ?3, ?4) on conflict do nothing
