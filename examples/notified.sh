#!/bin/sh
# An application in a shell, with curl, that is told what happens to a job: it completes the job when that is TRANSFERRED, and cancels
# it when that is ERROR. It ends with the job.
#
#   notified.sh JOB     the whole id; without it that of BITS_JOB_ID, which the service sets when it starts the application
#
# The service must run: any command of bits starts it.
set -eu
job=${1:-$BITS_JOB_ID}
socket=${BITS_SOCKET:-${XDG_RUNTIME_DIR:-/nowhere}/bits/bits.sock}
[ -S "$socket" ] || socket=/tmp/bits-$(id -u)/bits.sock

# post PATH [BODY]
post() { curl -sSN --unix-socket "$socket" -X POST ${2:+--data-binary "$2"} "http://bits/v1/jobs/$job/$1"; }

# The answer to the first call is the stream of notifications. Each is answered with an HRESULT, when all is done that it was for.
post notify-interface '{"interfaces": ["IBackgroundCopyCallback"]}' |
	while read -r line; do
		case $line in
		'{"registration":'*)
			registration=$(printf '%s\n' "$line" | sed 's/^{"registration":"\([^"]*\)".*/\1/')
			;;
		'{"notify":'*)
			id=$(printf '%s\n' "$line" | sed 's/^{"notify":{"id":"\([^"]*\)".*/\1/')
			kind=$(printf '%s\n' "$line" | sed 's/^{"notify":{[^{]*"kind":"\([^"]*\)".*/\1/')
			echo "$kind"
			case $kind in
			JobTransferred) post complete >/dev/null ;;
			JobError) post cancel >/dev/null ;;
			esac
			post "notify-interface/$id" '{"registration": "'"$registration"'", "hresult": "0x0"}' >/dev/null
			;;
		'{"hresult":'*)
			printf '%s\n' "$line" >&2
			exit 1
			;;
		esac
	done
