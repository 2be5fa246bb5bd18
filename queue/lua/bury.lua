-- bury: a job has failed for good. It is kept, with its error, among the dead, until it is revived or too old.
-- ARGV[2] worker  ARGV[3] id  ARGV[4] attempt  ARGV[5] started_at  ARGV[6] reason, a word or two  ARGV[7] error  ARGV[8] failures to add: 1 or 0
-- Returns 1 if settled (now or by an earlier call of this token), 0 if this token no longer holds the job.
local worker, id = ARGV[2], ARGV[3]
local state = held(id, worker, ARGV[4], ARGV[5])
if state ~= "running" then return state == "dead" and 1 or 0 end
call("LREM", place("list", "running", worker), -1, id)
if ARGV[8] == "1" then add_failure(id) end
to_dead(id, ARGV[6], ARGV[7])
return 1
