-- enqueue: store jobs, each in a hash, and put their ids into their lists, or on the schedule. Many in one call.
-- ARGV[2..] seven for each job: id, queue, task, args, kwargs, due (ms, "+ms" from now, "" = at once), max_attempts ("" = the task's)
-- Returns how many were new. An id that exists already, in whatever state, is left as it is: a repeat is harmless.
local new = 0
for i = 2, #ARGV, 7 do
  local id, queue, due = ARGV[i], ARGV[i + 1], ARGV[i + 5]
  local job = place("hash", "job", id)
  if redis.call("EXISTS", job) == 0 then
    due = string.sub(due, 1, 1) == "+" and now + tonumber(due) or tonumber(due) or 0
    redis.call("HSET", job, "task", ARGV[i + 2], "args", ARGV[i + 3], "queue", queue, "enqueued_at", now)
    if ARGV[i + 4] ~= "" then redis.call("HSET", job, "kwargs", ARGV[i + 4]) end
    if ARGV[i + 6] ~= "" then redis.call("HSET", job, "max_attempts", ARGV[i + 6]) end
    if due > now then to_scheduled(id, queue, due) else to_pending(id, queue, "LPUSH") end
    new = new + 1
  end
end
return new
