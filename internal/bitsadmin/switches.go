package bitsadmin

import (
	"cmp"
	"context"
	"fmt"

	"bits"
	"bits/hresult"
)

const (
	noPeers   = "cannot use the cache or the peers: peer caching is off"
	noProxies = "cannot use the proxies of a system account: there are none here"
	oneLog    = "cannot turn an analytic channel on or off: there is one log, daemon.log in the state folder, and it has everything"
	asOff     = "peer caching is off: BG_E_PEERCACHING_DISABLED"
	toUploads = "of a job that is no UPLOAD-REPLY: E_NOTIMPL; uploads come later"
)

// switches is the whole of bitsadmin: modifiers first, they have nothing to do of their own.
var switches = []Switch{
	{"RAWRETURN", "", "print the bare value of what is created or got, without banner and line break", works, "several values are one a line", nil},
	{"WRAP", "", "let long lines go on in the next line of the terminal", works, "", nil},
	{"NOWRAP", "", "cut lines at the right edge of the terminal", works, "nothing is cut in a file or a pipe", nil},

	{"HELP", "", "show the switches", works, "", help("")},
	{"?", "", "show the switches", works, "", help("")},
	{"LIST", "[/ALLUSERS] [/VERBOSE]", "list the jobs", works, "times are RFC 3339, in the caller's zone", ofJobs(list)},
	{"MONITOR", "[/ALLUSERS] [/REFRESH seconds]", "monitor the jobs", works, "in a file or a pipe the lists follow each other", ofJobs(monitor)},
	{"RESET", "[/ALLUSERS]", "cancel all jobs", works, "exit code 24 if some of several could not be canceled", ofJobs(reset)},
	{"CREATE", "[/DOWNLOAD | /UPLOAD | /UPLOAD-REPLY] name", "create a job", works, "uploads can be set up, and are carried out later", create},
	{"TRANSFER", "name [/DOWNLOAD | /UPLOAD] [/PRIORITY priority] [/ACLFLAGS letters] [/DYNAMIC] [/DEADLINE seconds] [/DETACHONINTERRUPT] url path [url path ...]", "transfer files", works, "it completes the job itself; /DEADLINE ends the waiting and cancels the job, exit code 11; Ctrl-C cancels the job, 130; with /DETACHONINTERRUPT it goes on, 23; an upload is E_NOTIMPL until uploads come", transfer},

	{"INFO", "job [/VERBOSE]", "show a job", works, "", ofJob(none, info)},
	{"ADDFILE", "job url path", "add a file to a job", works, "also network paths, smb: and file: names: docs/sources.md", add(parsePairs)},
	{"ADDFILESET", "job textfile", "add a set of files to a job", works, "all lines are added, or none", add(fileSet)},
	{"ADDFILEWITHRANGES", "job url path ranges", "add ranges of a file to a job", works, "a range of no bytes is BG_E_INVALID_RANGE", add(fileWithRanges)},
	{"REPLACEREMOTEPREFIX", "job old new", "replace the start of the remote names of a job", works, "", call("replace-remote-prefix", "Replaced the remote prefix of {job}.", setPrefixes)},
	{"LISTFILES", "job", "list the files of a job", works, "", ofJob(none, listFiles)},
	{"SUSPEND", "job", "suspend a job", works, "", call("suspend", "Job suspended.", none)},
	{"RESUME", "job", "resume a job", works, "", call("resume", "Job resumed.", none)},
	{"CANCEL", "job", "cancel a job", works, "", call("cancel", "Job canceled.", none)},
	{"COMPLETE", "job", "complete a job", works, "", call("complete", "Job completed.", none)},
	{"TAKEOWNERSHIP", "job", "take ownership of a job", works, "", call("own", "Took ownership of {job}.", none)},

	{"GETTYPE", "job", "get the type of a job", works, "", get("type", func(t bits.JobType) answer { return one(typeName(t)) })},
	{"GETACLFLAGS", "job", "get the ACL flags of a job", works, "", get("file_acl_flags", func(f bits.ACLFlags) answer { return one(showACL(f)) })},
	{"SETACLFLAGS", "job letters", "set the ACL flags of a job", works, "they are kept, and owners and access lists of shares are not copied", set("file_acl_flags", setACL)},
	{"GETBYTESTOTAL", "job", "get the size of a job", works, "", get("progress", func(p bits.JobProgress) answer { return one(size(p.BytesTotal)) })},
	{"GETBYTESTRANSFERRED", "job", "get the bytes that a job has transferred", works, "bytes on stable storage", get("progress", func(p bits.JobProgress) answer { return value(p.BytesTransferred) })},
	{"GETFILESTOTAL", "job", "get the number of files of a job", works, "", get("progress", func(p bits.JobProgress) answer { return value(p.FilesTotal) })},
	{"GETFILESTRANSFERRED", "job", "get the number of files that a job has transferred", works, "", get("progress", func(p bits.JobProgress) answer { return value(p.FilesTransferred) })},
	{"GETCREATIONTIME", "job", "get the creation time of a job", works, "RFC 3339, in the caller's zone", getTime("created")},
	{"GETMODIFICATIONTIME", "job", "get the modification time of a job", works, "RFC 3339, in the caller's zone", getTime("modified")},
	{"GETCOMPLETIONTIME", "job", "get the completion time of a job", works, "RFC 3339, in the caller's zone", getTime("transfer_completed")},
	{"GETSTATE", "job", "get the state of a job", works, "a job that has ended is found by its GUID for a day", get("state", value[bits.State])},
	{"GETERROR", "job", "get the error of a job", works, "/RAWRETURN prints the code", ofJob(none, getError)},
	{"GETERRORCOUNT", "job", "get the error count of a job", works, "", get("error_count", value[uint32])},
	{"GETOWNER", "job", "get the owner of a job", works, "a user name without a domain, except on Windows", get("owner", func(id string) answer { return one(owner(id)) })},
	{"GETDISPLAYNAME", "job", "get the display name of a job", works, "", get("display_name", one)},
	{"SETDISPLAYNAME", "job name", "set the display name of a job", works, "", set("display_name", setText)},
	{"GETDESCRIPTION", "job", "get the description of a job", works, "", get("description", one)},
	{"SETDESCRIPTION", "job text", "set the description of a job", works, "", set("description", setText)},
	{"GETPRIORITY", "job", "get the priority of a job", works, "", get("priority", value[bits.Priority])},
	{"SETPRIORITY", "job priority", "set the priority of a job", works, "", set("priority", setWord)},
	{"GETNOTIFYFLAGS", "job", "get the notify flags of a job", works, "", get("notify_flags", value[bits.NotifyFlags])},
	{"SETNOTIFYFLAGS", "job sum", "set the notify flags of a job", works, "", set("notify_flags", setNumber)},
	{"GETNOTIFYINTERFACE", "job", "get whether a program is told of a job", works, "", get("notify_interface", func(yes bool) answer { return one(registered(yes)) })},
	{"GETNOTIFYCMDLINE", "job", "get the notification command line of a job", works, "", get("notify_cmd_line", showCommand)},
	{"SETNOTIFYCMDLINE", "job program [parameters]", "set the notification command line of a job", works, "a full path; no shell is used; the first word of the parameters is the name of the program, as in BITS", set("notify_cmd_line", setCommand)},
	{"GETMINRETRYDELAY", "job", "get the minimum retry delay of a job", works, "", get("minimum_retry_delay", value[uint32])},
	{"SETMINRETRYDELAY", "job seconds", "set the minimum retry delay of a job", works, "less than 5 becomes 5", set("minimum_retry_delay", setNumber)},
	{"GETNOPROGRESSTIMEOUT", "job", "get the no-progress timeout of a job", works, "", get("no_progress_timeout", value[uint32])},
	{"SETNOPROGRESSTIMEOUT", "job seconds", "set the no-progress timeout of a job", works, "", set("no_progress_timeout", setNumber)},
	{"GETMAXDOWNLOADTIME", "job", "get the maximum download time of a job", works, "", get("maximum_download_time", value[uint32])},
	{"SETMAXDOWNLOADTIME", "job seconds", "set the maximum download time of a job", works, "", set("maximum_download_time", setNumber)},
	{"SETPROXYSETTINGS", "job usage [list bypass]", "set the proxy settings of a job", works, "PRECONFIG is the proxy variables of the job's creator; AUTODETECT searches for a script: docs/proxies.md; other users can see a login on a command line", set("proxy_settings", setProxy)},
	{"GETPROXYUSAGE", "job", "get the proxy usage of a job", works, "", get("proxy_settings", func(p bits.ProxySettings) answer { return value(p.Usage) })},
	{"GETPROXYLIST", "job", "get the proxy list of a job", works, "", get("proxy_settings", func(p bits.ProxySettings) answer { return showNullable(commas(p.List)) })},
	{"GETPROXYBYPASSLIST", "job", "get the proxy bypass list of a job", works, "", get("proxy_settings", func(p bits.ProxySettings) answer { return showNullable(p.Bypass) })},
	{"SETCREDENTIALS", "job target scheme user password", "set the credentials of a job", works, "other users can see a password on a command line: bits get --user asks for it", call("set-credentials", "Set the credentials of {job}.", setCredentials)},
	{"REMOVECREDENTIALS", "job target scheme", "remove the credentials of a job", works, "", call("remove-credentials", "Removed the credentials of {job}.", setCredentials)},
	{"GETCUSTOMHEADERS", "job", "get the custom headers of a job", works, "", get("custom_headers", showHeaders)},
	{"SETCUSTOMHEADERS", "job h1 [h2 ...]", "set the custom headers of a job", works, "an empty operand removes them", set("custom_headers", parseHeaders)},
	{"MAKECUSTOMHEADERSWRITEONLY", "job", "make the custom headers of a job write-only", works, "", set("custom_headers_write_only", setTrue)},
	{"GETHTTPMETHOD", "job", "get the HTTP method of a job", works, "", get("http_method", one)},
	{"SETHTTPMETHOD", "job method", "set the HTTP method of a job", works, "the request has no body", set("http_method", setText)},
	{"GETCLIENTCERTIFICATE", "job", "get the client certificate of a job", works, "", get("client_certificate", showCertificate)},
	{"SETCLIENTCERTIFICATEBYID", "job location store hash", "set the client certificate of a job", works, "the stores are folders: docs/client-certificates.md", set("client_certificate", setCertificate("hash"))},
	{"SETCLIENTCERTIFICATEBYNAME", "job location store subject", "set the client certificate of a job", works, "as above", set("client_certificate", setCertificate("subject"))},
	{"REMOVECLIENTCERTIFICATE", "job", "remove the client certificate of a job", works, "", call("remove-client-certificate", "Removed the client certificate of {job}.", none)},
	{"SETSECURITYFLAGS", "job value", "set the security flags of a job", works, "", set("security_flags", setNumber)},
	{"GETSECURITYFLAGS", "job", "get the security flags of a job", works, "the word in hexadecimal", get("security_flags", func(f bits.SecurityFlags) answer { return one(fmt.Sprintf("0x%04X", uint32(f))) })},
	{"SETVALIDATIONSTATE", "job index true|false", "set the validation state of a file", works, "", ofJob(setValid, setValidation)},
	{"GETVALIDATIONSTATE", "job index", "get the validation state of a file", works, "", getFile("validation_state", value[bool])},
	{"GETTEMPORARYNAME", "job index", "get the temporary name of a file", works, "", getFile("temporary_name", one)},
	{"SETPEERCACHINGFLAGS", "job value", "set the peer caching flags of a job", later, "", set("peer_caching_flags", setNumber)},
	{"GETPEERCACHINGFLAGS", "job", "get the peer caching flags of a job", works, "", get("peer_caching_flags", peerAnswer)},
	{"GETPEERSTATS", "job index", "get where the bytes of a file came from", works, "none comes from peers yet", getFile("peer_download_stats", showStats)},
	{"GETREPLYFILENAME", "job", "get the reply file name of a job", later, toUploads, get("reply_file_name", one)},
	{"SETREPLYFILENAME", "job path", "set the reply file name of a job", later, toUploads, set("reply_file_name", setPath)},
	{"GETREPLYPROGRESS", "job", "get how far the reply of a job is", later, toUploads, get("reply_progress", func(p bits.ReplyProgress) answer { return one(replyProgress(p)) })},
	{"GETREPLYDATA", "job", "get the reply of a job", later, toUploads + "; /RAWRETURN prints the bytes themselves", get("reply_data", showReply)},
	{"SETHELPERTOKEN", "job [user@domain password]", "set the helper token of a job", later, "only the caller's own; another account is E_NOTIMPL; files and network are used as the owner; a job that has lost it is ERROR, 0x80200056", call("set-helper-token", "Lent the identity of the caller to {job}.", setToken)},
	{"GETHELPERTOKENSID", "job", "get whose helper token a job has", works, "uid:N, except on Windows", get("helper_token_sid", func(id string) answer { return one(cmp.Or(id, "none")) })},
	{"SETHELPERTOKENFLAGS", "job flags", "set the helper token flags of a job", later, "as above", set("helper_token_flags", setNumber)},
	{"GETHELPERTOKENFLAGS", "job", "get the helper token flags of a job", works, "", get("helper_token_flags", value[bits.HelperTokenFlags])},

	{"UTIL HELP", "", "show the switches of /UTIL", works, "", help("UTIL")},
	{"UTIL GETIEPROXY", "account [/CONN name]", "get the proxies of a system account", leftOut, "E_NOTIMPL: system accounts have no settings of their own here; jobs take the proxy variables of their creators", off(hresult.E_NOTIMPL, noProxies)},
	{"UTIL SETIEPROXY", "account usage [values ...] [/CONN name]", "set the proxies of a system account", leftOut, "E_NOTIMPL, as /GETIEPROXY", off(hresult.E_NOTIMPL, noProxies)},
	{"UTIL REPAIRSERVICE", "[/FORCE]", "repair the service", works, "starts a service where none answers; /FORCE ends one that answers at a checkpoint, kills one that hangs, and starts another; there is no registration to delete", repair},
	{"UTIL VERSION", "[/VERBOSE]", "get the version of the service", works, "", serviceVersion},
	{"UTIL ENABLEANALYTICCHANNEL", "true|false", "turn the analytic channel on or off", leftOut, "E_NOTIMPL: there is one log, `daemon.log`, and it has everything", off(hresult.E_NOTIMPL, oneLog)},

	{"PEERCACHING HELP", "", "show the switches of /PEERCACHING", works, "", help("PEERCACHING")},
	{"PEERCACHING GETCONFIGURATIONFLAGS", "", "get the peer caching flags of the machine", later, "both are false: it is off", func(_ context.Context, r *run, _ []string) error { return r.print(peerAnswer(0)) }},
	{"PEERCACHING SETCONFIGURATIONFLAGS", "value", "set the peer caching flags of the machine", later, asOff, peering},
	{"CACHE HELP", "", "show the switches of /CACHE", works, "", help("CACHE")},
	{"CACHE LIST", "[/VERBOSE]", "list the records of the cache", later, asOff, peering},
	{"CACHE INFO", "record [/VERBOSE]", "show a record of the cache", later, asOff, peering},
	{"CACHE DELETE", "record", "delete a record of the cache", later, asOff, peering},
	{"CACHE DELETEURL", "url", "delete the records of a URL from the cache", later, asOff, peering},
	{"CACHE CLEAR", "", "clear the cache", later, asOff, peering},
	{"CACHE GETLIMIT", "", "get the limit of the cache", later, asOff, peering},
	{"CACHE SETLIMIT", "percent", "set the limit of the cache", later, asOff, peering},
	{"CACHE GETEXPIRATIONTIME", "", "get the expiration time of the cache", later, asOff, peering},
	{"CACHE SETEXPIRATIONTIME", "seconds", "set the expiration time of the cache", later, asOff, peering},
	{"PEERS HELP", "", "show the switches of /PEERS", works, "", help("PEERS")},
	{"PEERS DISCOVER", "", "look for peers", later, asOff, peering},
	{"PEERS CLEAR", "", "clear the list of peers", later, asOff, peering},
	{"PEERS LIST", "", "list the peers", later, asOff, peering},
}

var peering = off(hresult.BG_E_PEERCACHING_DISABLED, noPeers)
