-- cancel: a job shall not run, or shall stop. O(1): an id that waits in a list is dropped when a worker comes to it.
-- ARGV[2] id  and from the worker that runs it, once it stopped: ARGV[3] worker  ARGV[4] attempt  ARGV[5] started_at
-- Returns "cancelled", "stopping" (it runs; its worker is asked to stop), "too late" (it has ended, or that worker no
-- longer holds it) or "unknown". Only the first two change anything.
local id, worker = ARGV[2], ARGV[3]
local job = job_key(id)
local state = call("TYPE", job).ok == "hash" and call("HGET", job, "state")
if not state then return "unknown" end
if state == "cancelled" then return state end
if worker and held(id, worker, ARGV[4], ARGV[5]) ~= "running" then return "too late" end
if state == "scheduled" then
  call("ZREM", place("zset", "scheduled"), id)
  to_cancelled(id)
elseif state == "pending" then
  call("HDEL", job, "reason") -- a write that a full Redis allows
  to_cancelled(id)
  call("PERSIST", job) -- its time starts when the id leaves its list
elseif state == "running" and worker then
  call("LREM", place("list", "running", worker), -1, id)
  to_cancelled(id)
elseif state == "running" then
  call("HDEL", job, "reason")
  call("HSET", job, "reason", STOP)
  return "stopping"
else
  return "too late"
end
return "cancelled"
