-- POST /v1/track for wrk: a new message id in every request, the people in turn.
-- Arguments: the file of bodies (one per line), the text to be replaced by the id, the run's name, the Authorization
-- header. The pieces around the id are made once per person, so that a request costs two concatenations.

local started = 0
function setup(thread)
  thread:set("thread_number", started)
  started = started + 1
end

local before, after, people, count = {}, {}, 0, 0
local first_half

function init(args)
  local placeholder = args[2]
  first_half = string.format("%s-%02d-", args[3], thread_number)
  local id_bytes = #first_half + 10
  for line in io.lines(args[1]) do
    local from, to = line:find(placeholder, 1, true)
    local length = #line - #placeholder + id_bytes
    people = people + 1
    before[people] = "POST /v1/track HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: "
      .. args[4] .. "\r\nContent-Length: " .. length .. "\r\n\r\n" .. line:sub(1, from - 1) .. first_half
    after[people] = line:sub(to + 1)
  end
end

function request()
  count = count + 1
  local person = count % people + 1
  return before[person] .. string.format("%010d", count) .. after[person]
end

function done(summary, latency, _)
  local failed = summary.errors
  io.write(string.format(
    'figures {"requests":%d,"micros":%d,"p50_us":%d,"p99_us":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    failed.connect, failed.read, failed.write, failed.status, failed.timeout))
end
