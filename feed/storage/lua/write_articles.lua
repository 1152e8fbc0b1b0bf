-- Insert or replace articles that are as expected and not erased; log the changes, and what people
-- did in the audit log.
-- Returns for each: 1 written, 0 another one than expected is there, -1 it was erased.
-- KEYS: 1 articles; 2 meta; 3 age; 4 change log; 5 erased; 6 unencoded; 7 audit; 8 earlier
-- ARGV: 1 bound of the change log; 2 audit entries kept; then eight for each article: id, SHA-1 of
-- the expected bytes ('' none, '*' any), whole, meta, age (epoch s), whether it waits for its
-- vector (1, 0), whether its vector comes from another encoder than before (1, 0), audit entry
-- (JSON) or ''
local outcomes = {}
for i = 3, #ARGV, 8 do
  local present = redis.call('HGET', KEYS[1], ARGV[i])
  local digest = present and redis.sha1hex(present) or ''
  local outcome = 1
  if redis.call('ZSCORE', KEYS[5], ARGV[i]) then
    outcome = -1
  elseif ARGV[i + 1] ~= '*' and ARGV[i + 1] ~= digest then
    outcome = 0
  else
    if ARGV[i + 6] == '1' and present then
      redis.call('HSETNX', KEYS[8], ARGV[i], redis.call('HGET', KEYS[2], ARGV[i]))
    end
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 3])
    redis.call('ZADD', KEYS[3], ARGV[i + 4], ARGV[i])
    redis.call(ARGV[i + 5] == '1' and 'SADD' or 'SREM', KEYS[6], ARGV[i])
    redis.call('XADD', KEYS[4], '*', 'a', ARGV[i])
    if ARGV[i + 7] ~= '' then
      redis.call('LPUSH', KEYS[7], ARGV[i + 7])
      redis.call('LTRIM', KEYS[7], 0, ARGV[2] - 1)
    end
  end
  outcomes[#outcomes + 1] = outcome
end
redis.call('XTRIM', KEYS[4], 'MAXLEN', ARGV[1])
return outcomes
