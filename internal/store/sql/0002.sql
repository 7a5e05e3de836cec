-- The remote name before a redirect was reported in it: logins go to its server only.
alter table file add column original text not null default '';
