-- reschedule: give a scheduled job another time. It stays the same job; there is no moment at which it is nowhere.
-- ARGV[2] id  ARGV[3] due in ms
-- Returns "rescheduled", "too late" (it is no longer scheduled) or "unknown".
local id, due = ARGV[2], tonumber(ARGV[3])
local job = try("HMGET", job_key(id), "state", "queue")
if job.err or not job[1] then return "unknown" end
if job[1] ~= "scheduled" then return "too late" end
call("ZREM", place("zset", "scheduled"), id)
to_scheduled(id, job[2], due)
return "rescheduled"
