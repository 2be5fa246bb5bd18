-- revive: a dead job gets another life, by hand: pending again, with its failures and crashes forgotten.
-- ARGV[2] id
-- Returns "revived", "too late" (it is not dead) or "unknown" (also a bad entry, which has no task to run).
local id = ARGV[2]
local job = try("HMGET", job_key(id), "state", "queue", "task")
if job.err or not (job[1] and job[2] and job[3]) then return "unknown" end
if job[1] ~= "dead" then return "too late" end
call("LREM", place("list", "dead"), 1, id) -- the list is bounded, so this is too
call("HDEL", job_key(id), "failures", "crashes", "error", "reason", "finished_at", "due_at")
call("PERSIST", job_key(id))
to_pending(id, job[2], "LPUSH")
return "revived"
