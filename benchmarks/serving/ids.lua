-- For wrk: every request brings ids of its own, as behind a proxy that traces.
local asked = 0

request = function()
  asked = asked + 1
  local headers = {
    ["Content-Type"] = "application/json",
    ["X-Request-Id"] = string.format("req-%012d", asked),
    ["X-Forwarded-For"] = "10.0.0." .. asked % 250,
    ["traceparent"] = string.format("00-4bf92f3577b34da6a3ce929d%08x-00f067aa%08x-01", asked, asked),
  }
  return wrk.format("POST", "/predict", headers, '{"x": 0.5}')
end
