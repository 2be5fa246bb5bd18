-- discard: nobody wants a dead job any more, by hand. It is as if cancelled: for an hour it can be asked for, then it is gone.
-- ARGV[2] id, of any form: bad entries have any
-- Returns "discarded" (now or before), "too late" (it is not dead) or "unknown"; a dead entry without a job is dropped.
local id = ARGV[2]
local job = try("HMGET", job_key(id), "state", "reason")
if job.err then return "unknown" end
if job[1] == "cancelled" and job[2] == "discarded" then return "discarded" end
if job[1] and job[1] ~= "dead" then return "too late" end
call("LREM", place("list", "dead"), 1, id) -- the list is bounded, so this is too
if not job[1] then return "unknown" end
to_cancelled(id)
call("HSET", job_key(id), "reason", "discarded")
return "discarded"
