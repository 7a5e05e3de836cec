-- What BITS keeps of a file besides: ranges, what was requested of it, validation, the headers of the last answer.
alter table file add column details text not null default '{}' check (json_valid(details));
-- The defaults of the properties that are new.
update job set properties = json_set(properties, '$.notify_flags', 3, '$.minimum_notification_interval', 500, '$.http_method', 'GET');
