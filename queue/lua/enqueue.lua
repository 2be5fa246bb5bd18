-- enqueue: store jobs, each in a hash, and put their ids into their lists, or on the schedule. Many in one call.
-- ARGV[2] JSON: a list of jobs, each [id, queue, task, args, kwargs, due, max_attempts], all text
--   due: ms, "+ms" from now, "" = at once   kwargs, max_attempts: "" = none
-- Returns how many were new. An id that exists already, in whatever state, is left as it is: a repeat is harmless.
local new, waiting = 0, {}
for _, given in ipairs(cjson.decode(ARGV[2])) do
  local id, queue, task, args, kwargs, due, max_attempts = unpack(given)
  local job = job_key(id)
  local kind = call("TYPE", job).ok
  if kind ~= "hash" then
    if kind ~= "none" then aside(job) end
    due = string.sub(due, 1, 1) == "+" and now + tonumber(due) or tonumber(due) or 0
    local later = due > now
    call("HSET", job, "state", later and "scheduled" or "pending", "task", task, "args", args, "queue", queue, "enqueued_at", at)
    if kwargs ~= "" then call("HSET", job, "kwargs", kwargs) end
    if max_attempts ~= "" then call("HSET", job, "max_attempts", max_attempts) end
    if later then
      to_scheduled(id, queue, due)
    else
      waiting[queue] = waiting[queue] or {}
      table.insert(waiting[queue], id)
    end
    new = new + 1
  end
end
for queue, ids in pairs(waiting) do push("LPUSH", queue, unpack(ids)) end
return new
