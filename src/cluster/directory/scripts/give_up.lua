-- KEYS: host, hosts of the owner, changes. ARGV: name, server, epoch (0: any).
local entry = redis.call('HMGET', KEYS[1], 'server', 'epoch')
if entry[1] == ARGV[2] and (ARGV[3] == '0' or entry[2] == ARGV[3]) then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('PUBLISH', KEYS[3], ARGV[1] .. ' ' .. entry[2] .. ' ' .. ARGV[2])
end
return 'gone'
