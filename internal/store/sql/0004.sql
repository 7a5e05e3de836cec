-- The digests of a file's pieces: there may be thousands, and they are written once.
alter table file add column pieces text check (pieces is null or json_valid(pieces));
