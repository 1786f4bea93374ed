"""How fast the gateway takes events in, beside the least and the most obvious that could be built in its place.

ingest.py      the comparison: four servers under the same load, in turns; prints one table
stages.py      where one event's time goes inside the gateway, without HTTP
event.py       the event that all of them get        track.lua, wrk.py   the load
contenders.py  the four servers                      servers/            the three that are not the gateway
measure.py     one measurement of one server         process.py          starting and stopping a server
report.py      figures → medians, ratios, table
"""
