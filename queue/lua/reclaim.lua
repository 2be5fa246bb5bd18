-- reclaim: take back what the workers held whose lease is over. Only a worker sure of its own connection may call it.
-- ARGV[2] crashes that make a job dead  ARGV[3] ms before a job that crashed twice runs again  ARGV[4] seed of the jitter
-- ARGV[5] ms after which nothing is done any more, "" = never  ARGV[6] only this worker, else all
-- Those asked to stop are cancelled. A call that lay in a frozen Redis is carried out when all leases are over: too late.
-- Returns {id, what became of it, ...}. First crash: the front of its list at once. Second: later, spread out so that
-- a killer and its neighbours part. Walks the running lists themselves, which cannot miss a job as an index could.
local deadly, delay = tonumber(ARGV[2]), tonumber(ARGV[3])
if ARGV[5] ~= "" and now > tonumber(ARGV[5]) then return {} end
local workers = place("zset", "workers")
local back = {}
math.randomseed(tonumber(ARGV[4]))

local function after_crash(id, worker, job)
  local crashes = counter(job[3]) + 1
  call("HSET", job_key(id), "crashes", crashes)
  count("reclaimed", 1)
  if job[5] == STOP then to_cancelled(id); return "cancelled" end
  if crashes >= deadly then
    to_dead(id, "crashed", "its worker died " .. crashes .. " times while it ran, the last was " .. worker)
    return "dead"
  end
  if crashes == 1 then to_pending(id, job[4], "RPUSH"); return "pending" end
  to_scheduled(id, job[4], now + math.floor(delay * (crashes - 1) * (1 + 2 * math.random())))
  return "scheduled"
end

local over = ARGV[6] and { ARGV[6] }
  or call("ZRANGEBYSCORE", workers, "-inf", "(" .. string.format("%.0f", now), "LIMIT", 0, 100)
for _, worker in ipairs(over) do
  local running = place("list", "running", worker)
  for _, id in ipairs(call("LRANGE", running, 0, 199)) do -- newest first, so that the oldest ends up in front
    local job = try("HMGET", job_key(id), "state", "worker", "crashes", "queue", "reason")
    call("LPOP", running)
    if job.err or not (job[1] and job[4]) then
      quarantine(id, "running:" .. worker)
    elseif job[1] == "running" and job[2] == worker then -- else a stale copy
      back[#back + 1] = id
      back[#back + 1] = after_crash(id, worker, job)
    end
  end
  if call("LLEN", running) == 0 then
    call("ZREM", workers, worker)
    call("DEL", ns .. ":worker:" .. worker)
  end
end
return back
