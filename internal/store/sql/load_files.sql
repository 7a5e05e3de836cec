select job, n, remote, local, temporary, size, validator, done, finished, completed, original, details, pieces from file order by job, n
