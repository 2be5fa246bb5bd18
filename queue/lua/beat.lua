-- beat: renew a worker's lease and tell what Redis knows of it.
-- ARGV[2] worker  ARGV[3] lease in ms, 0 = it leaves  ARGV[4] ms since its last turn  ARGV[5..] more fields and values of its hash
-- Returns {ms until the earliest lease of all ends, 1 if its own had not ended before this beat,
-- {id, attempt, started_at, 1 if asked to stop, ...}: all that it holds, now}.
local worker, lease = ARGV[2], tonumber(ARGV[3])
local workers, card = place("zset", "workers"), place("hash", "worker", worker)
local mine = {}
for _, id in ipairs(call("LRANGE", place("list", "running", worker), 0, -1)) do
  local job = try("HMGET", job_key(id), "attempt", "started_at", "reason")
  for _, value in ipairs({ id, job[1] or "", job[2] or "", job[3] == STOP and 1 or 0 }) do mine[#mine + 1] = value end
end
local kept = (tonumber(call("ZSCORE", workers, worker)) or 0) > now and 1 or 0
call("ZREM", workers, worker) -- a write that a full Redis allows, so that the lease can be renewed in one
call("ZADD", workers, now + lease - (lease == 0 and 1 or 0), worker)
if #ARGV > 4 then
  call("HSET", card, "last_turn", now - tonumber(ARGV[4]), unpack(ARGV, 5))
  call("PEXPIRE", card, lease * 4)
end
local first = call("ZRANGE", workers, 0, 0, "WITHSCORES")
return { math.max(math.ceil(tonumber(first[2]) - now), 0), kept, mine, now }
