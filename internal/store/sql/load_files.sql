select job, n, remote, local, temporary, size, validator, done, finished, completed, original, details from file order by job, n
