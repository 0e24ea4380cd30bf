"""The page: what `GET /` shows to a browser. By hand, nothing built, nothing from elsewhere.

negotiation  whether a client would rather have the page than JSON
files        the files of the page, with one digest over all of them
routes       serves them, with the headers that keep strangers' code out
static/      index.html and page.css; theme.js runs before the first paint, app.js starts the
             panels and keeps them fresh. The panels: serving.js with fit.js and params.js; train.js
             with fields.js, advanced.js, points.js, upload.js and verdict.js; predict.js;
             curves.js; jobs.js; versions.js with confirm.js and columns.js; code.js. Below them:
             state.js (what is known), api.js (requests), follow.js (live jobs), charts.js (uPlot
             in our colours), numbers.js (as people write them), words.js (what the service says,
             in words of the page), dom.js and format.js. uPlot itself is unchanged.
"""
