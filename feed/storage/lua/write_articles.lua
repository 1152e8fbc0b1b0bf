-- Insert or replace articles and log the changes.
-- KEYS: 1 articles; 2 meta; 3 age; 4 change log
-- ARGV: 1 bound of the change log; then four for each article: id, whole, meta, age (epoch s)
for i = 2, #ARGV, 4 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 2])
  redis.call('ZADD', KEYS[3], ARGV[i + 3], ARGV[i])
  redis.call('XADD', KEYS[4], '*', 'a', ARGV[i])
end
redis.call('XTRIM', KEYS[4], 'MAXLEN', ARGV[1])
return (#ARGV - 1) / 4
