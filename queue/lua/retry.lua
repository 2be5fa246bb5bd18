-- retry: a job failed and shall run again later. snooze is the same without counting a failure.
-- ARGV[2] worker  ARGV[3] id  ARGV[4] attempt  ARGV[5] started_at  ARGV[6] delay in ms  ARGV[7] failures to add: 1 or 0  ARGV[8] error
-- A job that was asked to stop is cancelled instead.
-- Returns 1 if settled (now or by an earlier call of this token), 0 if this token no longer holds the job.
local worker, id = ARGV[2], ARGV[3]
local state, stop = held(id, worker, ARGV[4], ARGV[5])
if state ~= "running" then return (state == "scheduled" or state == "pending" or state == "cancelled") and 1 or 0 end
call("LREM", place("list", "running", worker), -1, id)
if ARGV[7] == "1" then
  add_failure(id)
  count("retried", 1)
end
if ARGV[8] ~= "" then call("HSET", job_key(id), "error", ARGV[8]) end
if stop then to_cancelled(id) else to_scheduled(id, call("HGET", job_key(id), "queue"), now + tonumber(ARGV[6])) end
return 1
