-- Everything a reader should see is text: sqlite3 bits.db 'select id, state from job' makes sense.
create table job (
	id         text primary key,
	owner      text not null,
	state      text not null,
	properties text not null check (json_valid(properties)),
	secrets    blob,                             -- sealed with the key beside the database
	changed    text not null
) strict;

create table file (
	job       text not null references job on delete cascade,
	n         integer not null,
	remote    text not null,
	local     text not null,
	temporary text not null,
	size      integer,
	validator text check (validator is null or json_valid(validator)),
	done      text not null default '[]' check (json_valid(done)), -- stretches known to be on disk
	finished  integer not null default 0,
	completed integer not null default 0,
	primary key (job, n)
) strict, without rowid;

-- Certificates that the application of a job accepted. Refusals are never written down.
create table accepted (
	job      text not null references job on delete cascade,
	endpoint text not null,
	sha256   text not null,
	at       text not null,
	primary key (job, endpoint, sha256)
) strict, without rowid;

create table event (
	n     integer primary key autoincrement,
	at    text not null,
	job   text not null,
	owner text not null,
	kind  text not null,
	body  text not null check (json_valid(body))
) strict;
create index event_by_time on event (at);
