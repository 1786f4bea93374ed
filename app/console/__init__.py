"""The console: web pages for operators, to see what happens and to act on it.

It has its own process and port, apart from the trackers'. The server renders every page. A small script adds live
updates, local times and keyboard shortcuts. Every action is a function of app.operations, as in commands.
"""
