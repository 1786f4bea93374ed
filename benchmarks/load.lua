-- POSTs for wrk: every event of every request has a message id of its own, the people take turns.
-- Arguments: the file of bodies (one per line), the text to be replaced by an id, the run's name, the Authorization
-- header, the path, and the mean pause in ms between two requests of one connection (0: none).
-- Bodies are cut at their ids once, so that a request costs one concatenation.

local started = 0
function setup(thread)
  thread:set("thread_number", started)
  started = started + 1
end

local bodies, heads, count = {}, {}, 0
local run, pause

function init(args)
  local placeholder = args[2]
  run = string.format("%s-%02d-", args[3], thread_number)
  pause = tonumber(args[6])
  for line in io.lines(args[1]) do
    local pieces, from = {}, 1
    while true do
      local first, last = line:find(placeholder, from, true)
      pieces[#pieces + 1] = line:sub(from, first and first - 1)
      if not first then break end
      from = last + 1
    end
    local ids = #pieces - 1
    local length = #line + ids * (#run + 14 - #placeholder) -- an id is the run's name, ten digits, a dash, three digits
    heads[#heads + 1] = "POST " .. args[5] .. " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
      .. "Authorization: " .. args[4] .. "\r\nContent-Length: " .. length .. "\r\n\r\n"
    bodies[#bodies + 1] = pieces
  end
  if pause > 0 then
    math.randomseed(thread_number + 1)
    delay = function() return math.random(0, 2 * pause) end
  end
end

function request()
  count = count + 1
  local number = count % #bodies + 1
  local pieces = bodies[number]
  local id = run .. string.format("%010d-", count)
  if #pieces == 2 then return heads[number] .. pieces[1] .. id .. "000" .. pieces[2] end
  local parts = {heads[number], pieces[1]}
  for i = 2, #pieces do
    parts[#parts + 1] = id
    parts[#parts + 1] = string.format("%03d", i)
    parts[#parts + 1] = pieces[i]
  end
  return table.concat(parts)
end

function done(summary, latency, _)
  local failed = summary.errors
  io.write(string.format(
    'figures {"requests":%d,"micros":%d,"p50_us":%d,"p99_us":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    failed.connect, failed.read, failed.write, failed.status, failed.timeout))
end
