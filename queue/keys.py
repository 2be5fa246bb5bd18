"""Every Redis key of the queue, with its type and members. Nothing else in this package builds one.

The scripts build the same ones, `<namespace>:<what>[:<name>]`, in `place` and `job_key` of lua/common.lua.
The namespace is in braces, so that all keys of a queue share one slot of a Redis Cluster. Times are integer
milliseconds of the Redis server's clock.

    scheduled --> pending --> running --> done          Each arrow is one script in lua/, named for its verb.
        ^            ^         |  |  `--> dead          The hash is the judge: a job is in the place that its
        |            `---------'  |                     `state` says. An id found elsewhere is a stale copy and
        `-------------------------'                     is dropped; only an id without a readable hash is bad.
"""


def namespace(name: str) -> str:
    return "{" + name + "}"


def pending(ns: str, name: str) -> str:  # LIST of job ids; pushed left, taken right
    return f"{ns}:pending:{name}"


def scheduled(ns: str) -> str:  # ZSET job id -> due time: delayed, retrying and snoozed alike
    return f"{ns}:scheduled"


def running(ns: str, worker: str) -> str:  # LIST of job ids, newest first
    return f"{ns}:running:{worker}"


def dead(ns: str) -> str:  # LIST of job ids, newest first, bounded by count and age
    return f"{ns}:dead"


def job(ns: str, job_id: str) -> str:  # HASH: one readable field each, see job.py
    return f"{ns}:job:{job_id}"


def workers(ns: str) -> str:  # ZSET worker -> end of its lease; an entry goes when its running list is empty
    return f"{ns}:workers"


def worker(ns: str, name: str) -> str:  # HASH with a TTL: host, pid, version, lists, threads, busy, last_turn
    return f"{ns}:worker:{name}"


def bell(ns: str, name: str) -> str:  # LIST with at most one token: look at this list, or at the clock
    return f"{ns}:bell:{name}"


def paused(ns: str) -> str:  # SET of names of lists that are not taken
    return f"{ns}:paused"


def stats(ns: str, minute: int) -> str:  # HASH with a TTL: taken, done, retried, dead, reclaimed; waited in ms
    return f"{ns}:stats:{minute}"


def bad(ns: str) -> str:  # any type, with a TTL; <ns>:bad:<ms>:<where it was>
    return f"{ns}:bad:*"
