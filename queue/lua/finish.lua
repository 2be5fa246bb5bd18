-- finish: jobs ended well. Many in one call; `take` carries the same when there is more to take.
-- ARGV[2] worker  ARGV[3] JSON: a list of [id, attempt, started_at, ttl in ms, result as JSON text or ""]
-- Returns the ids that this token no longer holds; they are left as they are.
return finish(ARGV[2], cjson.decode(ARGV[3]))
