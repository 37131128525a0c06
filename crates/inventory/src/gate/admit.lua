-- Admits a batch of requests of one bucket of a pool: window, buyer's limit, idempotency, quantity, deduct. Set-at-a-time:
-- reads each cell once, decides in the order of the requests, writes each cell once. Times are this server's, in milliseconds for
-- the window and in microseconds for versions.
-- KEYS  three a cell: counters, quotas, tokens. All carry one hash tag.
-- ARGV  the cells' layout as the caller knows it, then a request: token, buyer, number of lines, then cell and quantity of
--       each line (one line a cell).
-- Reply four integers a request: code, cell it is about, a value, version of that cell. The value is the limit when that was
--       reached, the layout when the cell is not loaded in the caller's, and else the units of the cell that are free.
local ADMITTED, ALREADY, SOLD_OUT, BUYER_LIMIT, NOT_OPEN, CLOSED, NOT_LOADED = 0, 1, 2, 3, 4, 5, 6

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now_ms = math.floor(now_us / 1000)

local cells = {}
for i = 1, #KEYS / 3 do
  local c = redis.call('HMGET', KEYS[3 * i - 2], 'free', 'limit', 'opens_ms', 'closes_ms', 'version', 'layout')
  local layout = tonumber(c[6]) or 0
  cells[i] = {
    loaded = c[1] and layout == tonumber(ARGV[1]), layout = layout,
    free = tonumber(c[1]), limit = tonumber(c[2]), opens_ms = tonumber(c[3]), closes_ms = tonumber(c[4]),
    version = tonumber(c[5]) or 0, tokens = {}, buyers = {}, held = {}, used = {}, new_tokens = {}, new_used = {},
  }
end

local requests, at = {}, 2
while at <= #ARGV do
  local request = { token = ARGV[at], buyer = ARGV[at + 1], cells = {}, quantities = {} }
  local lines = tonumber(ARGV[at + 2])
  at = at + 3
  for line = 1, lines do
    local cell = cells[tonumber(ARGV[at])]
    request.cells[line] = tonumber(ARGV[at])
    request.quantities[line] = tonumber(ARGV[at + 1])
    cell.tokens[#cell.tokens + 1] = request.token
    cell.buyers[#cell.buyers + 1] = request.buyer
    at = at + 2
  end
  requests[#requests + 1] = request
end

for i, cell in ipairs(cells) do
  cell.next = string.format('%.0f', math.max(cell.version + 1, now_us))
  if cell.loaded then
    local held = redis.call('HMGET', KEYS[3 * i], unpack(cell.tokens))
    for n = 1, #cell.tokens do cell.held[cell.tokens[n]] = held[n] or cell.held[cell.tokens[n]] end
    if cell.limit > 0 then
      local used = redis.call('HMGET', KEYS[3 * i - 1], unpack(cell.buyers))
      for n = 1, #cell.buyers do cell.used[cell.buyers[n]] = tonumber(used[n] or 0) end
    end
  end
end

local function refusal(request)
  for line, i in ipairs(request.cells) do
    if not cells[i].loaded then return NOT_LOADED, i, cells[i].layout end
  end
  for line, i in ipairs(request.cells) do
    if cells[i].held[request.token] then return ALREADY, i end
  end
  for line, i in ipairs(request.cells) do
    local cell, quantity = cells[i], request.quantities[line]
    if now_ms < cell.opens_ms then return NOT_OPEN, i end
    if now_ms >= cell.closes_ms then return CLOSED, i end
    if cell.limit > 0 and cell.used[request.buyer] + quantity > cell.limit then return BUYER_LIMIT, i, cell.limit end
    if quantity > cell.free then return SOLD_OUT, i end
  end
end

local reply = {}
for _, request in ipairs(requests) do
  local code, about, value = refusal(request)
  if not code then
    code, about = ADMITTED, request.cells[1]
    for line, i in ipairs(request.cells) do
      local cell, quantity = cells[i], request.quantities[line]
      cell.free = cell.free - quantity
      cell.held[request.token] = true
      cell.new_tokens[#cell.new_tokens + 1] = request.token
      cell.new_tokens[#cell.new_tokens + 1] = quantity .. ':' .. cell.next .. ':' .. request.buyer
      if cell.limit > 0 then
        cell.used[request.buyer] = cell.used[request.buyer] + quantity
        cell.new_used[request.buyer] = cell.used[request.buyer]
      end
    end
  end
  reply[#reply + 1] = code
  reply[#reply + 1] = about
  reply[#reply + 1] = value or cells[about].free
  reply[#reply + 1] = cells[about].version
end

for i, cell in ipairs(cells) do
  if #cell.new_tokens > 0 then
    redis.call('HSET', KEYS[3 * i - 2], 'free', cell.free, 'version', cell.next)
    redis.call('HSET', KEYS[3 * i], unpack(cell.new_tokens))
    local used = {}
    for buyer, units in pairs(cell.new_used) do
      used[#used + 1] = buyer
      used[#used + 1] = units
    end
    if #used > 0 then redis.call('HSET', KEYS[3 * i - 1], unpack(used)) end
  end
end
return reply
