insert into job (id, owner, state, properties, secrets, changed) values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (id) do update set owner = ?2, state = ?3, properties = ?4, secrets = ?5, changed = ?6
