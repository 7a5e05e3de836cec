select job, n, remote, local, temporary, size, validator, done, finished, completed, original from file order by job, n
