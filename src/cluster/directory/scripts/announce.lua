-- KEYS: server, index of servers, birth. ARGV: id, URL, time to live, a word for a new directory.
-- Returns birth and age of the directory, and all servers with their URLs.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[3], string.format('%.0f-%s', now, ARGV[4]), 'NX')
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local birth = redis.call('GET', KEYS[3])
local age = now - (tonumber(string.match(birth, '^%d+')) or 0)
local found = {birth, string.format('%.0f', age)}
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, 255)) do
  local url = redis.call('GET', 'pinhole:server:' .. id)
  if url then
    found[#found + 1] = id
    found[#found + 1] = url
  end
end
return found
