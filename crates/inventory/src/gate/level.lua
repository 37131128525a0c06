-- Sets the free units of a loaded cell to what the ledger says. Quotas and tokens stay.
-- KEYS  counters.  ARGV  free, version.  Reply 1 when it was loaded.
if redis.call('HEXISTS', KEYS[1], 'free') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'free', ARGV[1], 'version', ARGV[2])
return 1
