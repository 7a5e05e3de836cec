select job, n, remote, local, temporary, size, validator, done, finished, completed from file order by job, n
