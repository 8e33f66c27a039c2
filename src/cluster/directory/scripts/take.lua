-- KEYS: host, epochs, hosts of the owner, changes, birth.
-- ARGV: name, time to live, server, owner, instance, public, dials, highest epoch seen, most hosts of the owner (0: any
-- number), and all tags that the owner may have.
local entry = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if entry[1] then
  local is_own = false
  for at = 10, #ARGV do
    is_own = is_own or ARGV[at] == entry[1]
  end
  if not is_own then
    return {'taken'}
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most = tonumber(ARGV[9])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if most > 0 and not redis.call('ZSCORE', KEYS[3], ARGV[1]) and redis.call('ZCARD', KEYS[3]) >= most then
  return {'full'}
end
local highest = math.max(tonumber(redis.call('GET', KEYS[2])) or 0, tonumber(entry[2]) or 0, tonumber(ARGV[8]))
local epoch = string.format('%.0f', highest + 1)
redis.call('SET', KEYS[2], epoch)
redis.call('HSET', KEYS[1], 'server', ARGV[3], 'epoch', epoch, 'owner', ARGV[4], 'instance', ARGV[5], 'public', ARGV[6],
  'dials', ARGV[7])
local birth = redis.call('GET', KEYS[5])
if not birth or now - (tonumber(string.match(birth, '^%d+')) or 0) < 15000 then
  redis.call('HSET', KEYS[1], 'young', '1')
else
  redis.call('HDEL', KEYS[1], 'young')
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[3], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[2] * 2)
redis.call('PUBLISH', KEYS[4], ARGV[1] .. ' ' .. epoch .. ' ' .. ARGV[3])
return {'held', epoch}
