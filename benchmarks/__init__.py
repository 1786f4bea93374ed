"""How fast the gateway is, beside the least and the most obvious that could be built in its place.

__main__.py    all of it, as one table: rows.py says what a row is
intake.py      requests per second and how long they take      road.py        deliveries, and request to arrival
memory.py      what Redis and the processes take               stages.py      where one event's time goes, without HTTP
event.py       the event that all of them get                  load.lua, wrk.py   the load
contenders.py  the servers                                     servers/       those that are not the gateway
measure.py     one measurement of one server                   process.py     starting and stopping processes
backlog.py     filling lanes, and how fast they are drained
"""
