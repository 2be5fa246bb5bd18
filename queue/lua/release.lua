-- release: a worker gives jobs back unfinished, to the front of their lists. Nothing is counted: deploys are no failures.
-- ARGV[2] worker  then three for each job, oldest first: id, attempt, started_at. Those asked to stop are cancelled.
-- Returns the ids that this token no longer holds; they are left as they are, but for stale copies in the running list.
local worker, running = ARGV[2], place("list", "running", ARGV[2])
local lost = {}
for i = #ARGV - 2, 3, -3 do -- the newest first, so that the oldest ends up in front
  local id = ARGV[i]
  local state, stop = held(id, worker, ARGV[i + 1], ARGV[i + 2])
  if state == "running" then
    call("LREM", running, -1, id)
    if stop then to_cancelled(id) else to_pending(id, call("HGET", job_key(id), "queue"), "RPUSH") end
  elseif state ~= "pending" and state ~= "cancelled" then
    lost[#lost + 1] = id
    local job = try("HMGET", job_key(id), "state", "worker")
    local here = not job.err and job[1] == "running" and job[2] == worker
    if not here and call("LREM", running, -1, id) > 0 and not job[1] then quarantine(id, "running:" .. worker) end
  end
end
return lost
