-- The logs of jobs. They outlive the jobs, and have no secrets in them.
create table log (
	n     integer primary key autoincrement,
	at    text not null,
	job   text not null,
	owner text not null, -- of the job when the line was written: nobody else reads it
	kind  text not null,
	file  integer,
	text  text not null
) strict;
create index log_by_job on log (job, n);
