#!/usr/bin/env python3
"""A whole application in Python, with nothing but its standard library: it fetches files over HTTPS in the background, as one job, and
trusts only servers whose public key it knows.

    updater.py PINS URL FILE [URL FILE]...   fetches files, and goes on with what earlier runs have left
    updater.py PINS                          goes on with what earlier runs have left

PINS are the SHA-256 of SubjectPublicKeyInfo, in hex, separated by commas. Kill it, or the service, at any time: the job stays, and stops
at the first certificate that it has not seen, until there is somebody to judge it. Its jobs, and the number of the last event, are kept in
the file UPDATER_STATE, else in ~/.updater.json: what happens while the application is away is told when it comes back.

The service must run: any command of bits starts it.
"""

import contextlib
import http.client
import json
import os
import socket
import sys
import threading
import time
import uuid

MINE = "updater.py: "  # how the application knows its jobs
UNKNOWN_KEY = "0x80040001"  # its own code for a key that it does not know; any code of a failure declines
BG_E_NOT_FOUND = 0x80200001
BG_E_INVALID_STATE = 0x80200002
INTERFACE_REQUIRED = 0x80200074  # BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED
CERTIFICATE_CALLBACK = 8  # BG_ERROR_CONTEXT_SERVER_CERTIFICATE_CALLBACK: the error is our own verdict
PATIENCE = 60  # seconds for which the service may be away


class Refused(Exception):
    """The service refused a call. Decide on the code only."""

    def __init__(self, error):
        super().__init__(describe(error))
        self.code = int(error["hresult"], 16)


class Unreachable(Exception):
    """No service answers, or it went away."""


def describe(error):
    """The text of an error object, of a call or of a job."""
    text = f"{error['message']} ({error.get('name') or ''} {error['hresult']}, context {error['context']})"
    if error.get("url"):
        text += f", file {error.get('file')}: {error['url']}"
    if error.get("hint"):
        text += f"\n  try: {error['hint']}"
    return text


class Connection(http.client.HTTPConnection):
    """HTTP over the service's socket."""

    def connect(self):
        path = os.environ.get("BITS_SOCKET") or os.path.join(os.environ.get("XDG_RUNTIME_DIR", "/nowhere"), "bits/bits.sock")
        if not os.path.exists(path):
            path = f"/tmp/bits-{os.getuid()}/bits.sock"
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(path)


@contextlib.contextmanager
def reaching():
    """Makes Unreachable of what goes wrong on the socket."""
    try:
        yield
    except (OSError, http.client.HTTPException) as e:
        raise Unreachable(f"cannot reach the service: {e}; start it with: bits daemon") from e


@contextlib.contextmanager
def opened(method, path, body=None, timeout=None):
    """Makes a call; its answer, whose body may be an endless one, is for the block."""
    with contextlib.closing(Connection("bits", timeout=timeout)) as connection:
        with reaching():
            connection.request(method, "/v1" + path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            refusal = None if answer.status // 100 == 2 else answer.read()
        if refusal is not None:
            raise Refused(json.loads(refusal))
        yield answer


def call(method, path, body=None):
    with opened(method, path, body, timeout=30) as answer:
        with reaching():
            text = answer.read()
        return json.loads(text)


def lines(answer):
    """The JSON objects of a stream, one a line. One that was cut off with its service is none."""
    while True:
        with reaching():
            line = answer.readline()
        if not line.endswith(b"\n"):
            return
        yield json.loads(line)


def patiently(step):
    """Takes a step that can be repeated, through a restart of the service."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return step()
        except Unreachable:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def say(text):
    print(text, flush=True)


class Updater:
    def __init__(self, pins):
        self.pins = pins
        self.attempts = {}  # by job: how often it had nobody to judge
        self.failed = False
        self.path = os.environ.get("UPDATER_STATE") or os.path.expanduser("~/.updater.json")
        try:
            with open(self.path, encoding="utf-8") as f:
                kept = json.load(f)
        except (OSError, ValueError):
            kept = {}
        self.since = kept.get("since")  # the last event that was dealt with
        self.jobs = set(kept.get("jobs", []))  # that are not at their end

    def run(self, files):
        """Returns when all jobs are at their end: whether all went well."""
        self.take_up()
        if files:
            job = str(uuid.uuid4())  # ours, so that making it can be repeated if the answer is lost
            patiently(lambda: self.begin(job, files))
        while self.jobs:
            with contextlib.suppress(Unreachable):  # it was restarted, perhaps
                self.follow()
            if self.jobs:
                patiently(self.take_up)  # the registrations have gone with the service
        return not self.failed

    # Events.

    def follow(self):
        """Deals with what has happened since the last event, and with what happens, until the jobs are at their end or the service is."""
        with opened("GET", "/events?follow=false") as answer:
            now = [e["n"] for e in lines(answer) if e["kind"] == "now"][-1]
        if self.since is None or self.since > now:  # the first run; or the service's store was made anew
            self.since = now
        with opened("GET", f"/events?since={self.since}&follow=false") as answer:
            for event in lines(answer):
                self.tell(event)
        for job in list(self.jobs):  # what of all that is true now
            self.look(job)
        if not self.jobs:
            return
        with opened("GET", f"/events?since={self.since}") as answer:
            for event in lines(answer):
                if self.tell(event):
                    self.look(event["job"])
                if not self.jobs:
                    return

    def tell(self, event):
        """Says what has happened: whether it is for us. Other kinds of events may come, and more fields: what is not known is passed over."""
        ours = event["kind"] == "state" and event["job"] in self.jobs
        if ours:
            say(f"event {event['n']}: job {event['job']} is {event['body']['state']}")
        if event.get("n"):
            self.since = event["n"]
            self.keep()
        return ours

    def keep(self):
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            json.dump({"since": self.since, "jobs": sorted(self.jobs)}, f)
        os.replace(self.path + ".new", self.path)

    def ended(self, job):
        self.jobs.discard(job)
        self.keep()

    # Jobs.

    def take_up(self):
        """What BITS demands of an application when it starts: set yourself again on each of your jobs that needs a judge."""
        for job in call("GET", "/jobs?validator=required")["jobs"]:
            if job["display_name"].startswith(MINE):
                say(f"going on with {job['display_name']}, which was {job['state']}")
                if job["state"] == "SUSPENDED":  # attach leaves it so: whether it goes on is for us to decide
                    self.start(job["id"])
                else:
                    self.attach(job["id"])

    def begin(self, job, files):
        """Makes a job. We know it before it is there, so that it is ours whenever we die."""
        self.jobs.add(job)
        self.keep()
        mask = os.umask(0o077)
        os.umask(mask)
        trust = {name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "https_proxy", "no_proxy") if name in os.environ}
        if "SSL_CERT_FILE" in trust:
            trust["SSL_CERT_FILE"] = os.path.abspath(trust["SSL_CERT_FILE"])  # the service has another working folder
        call("POST", "/jobs", {
            "id": job,
            "display_name": MINE + ", ".join(os.path.basename(name) for _, name in files),
            "files": [{"remote_name": url, "local_name": os.path.abspath(name)} for url, name in files],
            "environment": trust,
            "umask": mask,
        })
        self.start(job)

    def start(self, job):
        """Resumes a job, but only when there is a judge: no request can leave before."""
        self.attach(job)
        call("POST", f"/jobs/{job}/resume")

    def look(self, job):
        """Does what the present state of a job asks for. An event only says that it is time to look: it may be an old one."""
        try:
            now = call("GET", f"/jobs/{job}")
            if now["state"] == "TRANSFERRED":
                self.complete(now)
            elif now["state"] in ("ERROR", "TRANSIENT_ERROR"):
                self.error(now)
            elif now["state"] in ("ACKNOWLEDGED", "CANCELLED"):
                self.ended(job)
            elif now["state"] == "SUSPENDED" and not now["validator_required"]:  # we died before it had a judge
                self.start(job)
        except Refused as e:
            if e.code == BG_E_NOT_FOUND:
                self.ended(job)
            elif e.code != BG_E_INVALID_STATE:  # it moved on meanwhile: the next event tells
                raise

    def complete(self, job):
        call("POST", f"/jobs/{job['id']}/complete")
        self.ended(job["id"])
        for file in job["files"]:
            say(f"{file['local_name']} is there")

    def error(self, job):
        error = job["error"]
        code, context = int(error["hresult"], 16), error["context"]
        say(f"{job['display_name']} is {job['state']}: {describe(error)}")
        if job["state"] == "ERROR" and code == INTERFACE_REQUIRED and self.attempts.get(job["id"], 0) < 3:
            # There was nobody to judge: the service was restarted, or another application took our place and left.
            self.attempts[job["id"]] = self.attempts.get(job["id"], 0) + 1
            self.attach(job["id"])
        elif job["state"] == "ERROR" or context == CERTIFICATE_CALLBACK:
            # Nothing will change by itself, or we have declined. Without this the service would ask us again at every try.
            self.failed = True
            call("POST", f"/jobs/{job['id']}/cancel")
            self.ended(job["id"])
        # Else the service tries again by itself, at job["next_retry"].

    # Certificates.

    def attach(self, job):
        """Sets us as the judge of the job's certificates, and returns when that is so. In one step, whatever the state of the job."""
        self.jobs.add(job)
        ready, refused = threading.Event(), []

        def judge():
            try:
                self.judge(job, ready)
            except (Refused, Unreachable) as e:
                refused.append(e)
            finally:
                ready.set()

        threading.Thread(target=judge, daemon=True).start()
        ready.wait()
        if refused:
            raise refused[0]

    def judge(self, job, ready):
        """Answers the questions of a job, until another takes our place, or the job or the service ends."""
        path = f"/jobs/{job}/certificate-validation"
        body = {"interface": "IBackgroundCopyServerCertificateValidationCallback", "attach": True}
        with opened("POST", path, body) as answer:
            registration = None
            for item in lines(answer):
                if "registration" in item:
                    registration = item["registration"]
                    ready.set()
                elif "ask" in item:
                    question = item["ask"]
                    verdict = {"registration": registration, "hresult": self.verdict(question)}
                    with contextlib.suppress(Refused):  # too late, or no longer ours to judge
                        call("POST", f"{path}/{question['question']}", verdict)

    def verdict(self, question):
        """Is called in mid-handshake, before a byte of the request is sent."""
        key = question["facts"]["public_key_sha256"]
        if key in self.pins:
            return "0x0"
        say(f"cannot trust {question['endpoint']}: its public key is {key}")
        return UNKNOWN_KEY


def main(args):
    if len(args) % 2 == 0:
        sys.exit(__doc__)
    pins = args[0].lower().split(",")
    try:
        return 0 if Updater(pins).run(list(zip(args[1::2], args[2::2]))) else 1
    except (Refused, Unreachable) as e:
        print(f"updater.py: {e}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
