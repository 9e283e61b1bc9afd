"""A card that tries all that a card must not do."""

PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)
WIDE_ROW = "|" + "cell|" * 300

BODY = f"""\
# A title of the first level

<script>alert(1)</script><SCRIPT SRC=https://evil.example/x.js></SCRIPT>
<img src=x onerror=alert(2)><svg onload=alert(3)></svg>
<iframe src="https://evil.example/"></iframe><object data="https://evil.example/x"></object>
<form action="https://evil.example/"><input name=q autofocus onfocus=alert(5)>
<button>Search</button></form>
<style>body {{ display: none }}</style><link rel=stylesheet href="https://evil.example/x.css">
<meta http-equiv=refresh content="0;url=https://evil.example/"><base href="https://evil.example/">
<p style="position:fixed;inset:0" onclick=alert(6) class=skip id=main>everywhere</p>
<a href="https://example.org/"
  title="<pre> onmouseover=alert(7) <table><h1><img src=x onerror=alert(8)>">titled</a>
<img src="{PICTURE}" title="<pre>" alt="<table> <script>alert(9)</script>">
<h1>Another page</h1></main></div></body></html>

[link](javascript:alert(10)) [link](https://example.org/good)
[link](//evil.example/x) [link](/-/metrics)
[link](data:text/html,<script>alert(11)</script>) <https://example.org/auto> <javascript:alert(12)>
<a href=" javascript:alert(13)">a</a> <a href="jav&#x09;ascript:alert(14)">b</a>
<a href="HTTPS://example.org/up">c</a>

![tracker](https://evil.example/pixel.png) ![ours]({PICTURE})
<img src="https://evil.example/other.png" srcset="https://evil.example/2x.png 2x" alt="drawn">

Turned \u202egnp.exe\u202c and \u2066isolated\u2069.

{"averylongword" * 400}

{WIDE_ROW}
{"|" + "---|" * 300}
{WIDE_ROW}

```html
</code></pre><script>alert(15)</script>
```

{"> " * 200}deep

{"[" * 2000}

<math><mtext><table><mglyph><style><img src=x onerror=alert(4)>
"""
