-- Moves units into a bucket of a cell, or out of it as far as it has any.
-- KEYS  counters.
-- ARGV  layout, units (below zero: out of it), the number the cell was loaded at, or 0 for any.
-- Reply how many units were moved, and the number the bucket was loaded at. Nothing is moved into a bucket that was loaded anew
--       since the units were taken out of another: its new units have them already.
local layout, units, number = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local c = redis.call('HMGET', KEYS[1], 'free', 'version', 'loaded', 'layout')
local loaded = tonumber(c[3]) or 0
if not c[1] or c[4] ~= layout or (number > 0 and number ~= loaded) then return { 0, loaded } end
if units < 0 then units = -math.min(-units, math.max(tonumber(c[1]), 0)) end
if units == 0 then return { 0, loaded } end
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
redis.call('HSET', KEYS[1], 'free', string.format('%.0f', c[1] + units),
  'version', string.format('%.0f', math.max((tonumber(c[2]) or 0) + 1, now_us)))
return { math.abs(units), loaded }
