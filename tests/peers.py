"""Real servers that nobody here wrote, each on a free port of the loopback, for a test.

Nginx, Apache and Caddy serve one folder, each with a redirect, a refusal and compression
switched on; gunicorn serves httpbin; tinyproxy and microsocks are proxies; OpenSSL is a TLS server of any make. All of them are children of the tests and end with them.
"""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

START_SECONDS = 30

NGINX = """
{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
  include /etc/nginx/mime.types; access_log {folder}/access.log;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  gzip on; gzip_types *; gzip_min_length 1; keepalive_requests 7;
  limit_req_zone $server_name zone=few:1m rate=50r/s;
  server {{
    listen 127.0.0.1:{port}; root {root};
    location /moved/ {{ return 301 /big.bin; }}
    location /forbidden/ {{ return 403; }}
    location /busy/ {{ limit_req zone=few burst=2 nodelay; limit_req_status 429;
                       alias {root}/; }}
  }}
}}
"""
NGINX_HTTP2 = """
{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
  log_format protocol '$server_protocol $connection'; access_log {folder}/access.log protocol;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} ssl http2; root {root};
    ssl_certificate {pem}; ssl_certificate_key {pem};
  }}
}}
"""
APACHE = """
ServerName localhost
ServerRoot /usr/lib/apache2
PidFile {folder}/pid
ErrorLog {folder}/error.log
Listen 127.0.0.1:{port}
{modules}
{user}
TypesConfig /etc/mime.types
LogFormat "\\"%r\\" %>s" plain
CustomLog {folder}/access.log plain
DocumentRoot {root}
MaxKeepAliveRequests 7
SetOutputFilter DEFLATE
RedirectMatch 302 ^/moved /big.bin
<Directory {root}>
  Require all granted
  FileETag MTime Size
</Directory>
<Location /forbidden>
  Require all denied
</Location>
"""
_APACHE_MODULES = "mpm_event authz_core authz_host alias mime filter deflate log_config dir reqtimeout"
CADDY = """
{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  log {{
    output file {folder}/access.log
    format json
  }}
  redir /moved/* /big.bin 307
  respond /forbidden/* 403
  encode gzip
  root * {root}
  file_server
}}
"""
CADDY_HTTPS = """
{{
  admin off
  auto_https disable_redirects
  default_sni localhost
  servers {{
    protocols h1 h2
  }}
}}
https://127.0.0.1:{port} {{
  tls {certificate} {key}
  log {{
    output file {folder}/access.log
    format json
  }}
  root * {root}
  file_server
}}
"""
TINYPROXY = """
Port {port}
Listen 127.0.0.1
Timeout 60
LogFile "{folder}/access.log"
LogLevel Connect
MaxClients 50
{more}
"""


def program(name):
    """Where a server's program is, also outside of a user's PATH; None if nowhere."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def needs(name, package):
    """The marks of a test that needs a server: skipped where it is not installed."""
    reason = f"needs {name} (apt install {package})"
    return [
        pytest.mark.peer,
        pytest.mark.skipif(program(name) is None, reason=reason),
    ]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextlib.contextmanager
def silent():
    """The port of a listener that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


class Peer:
    """A server under way.

    Attributes:
        origin: Scheme, address and port.
        folder: Where its configuration and logs are.
    """

    def __init__(self, folder, port, scheme="http"):
        self.folder = Path(folder)
        self.port = port
        self.origin = f"{scheme}://127.0.0.1:{port}"

    @property
    def log(self):
        path = self.folder / "access.log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextlib.contextmanager
def started(argv, folder, port, scheme="http"):
    """A server from its first answer to its end."""
    with open(folder / "said", "wb") as said:
        child = subprocess.Popen(argv, stdout=said, stderr=said, cwd=folder)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            if child.poll() is not None or time.monotonic() > until:
                text = (folder / "said").read_text(errors="replace")
                raise RuntimeError(f"{argv[0]} did not start: {text}")
            time.sleep(0.02)
        yield Peer(folder, port, scheme)
    finally:
        child.terminate()
        child.wait(30)


def _configured(folder, text, **values):
    port = free_port()
    path = folder / "configuration"
    path.write_text(text.format(folder=folder, port=port, **values))
    return port, str(path)


def nginx(folder, root):
    port, path = _configured(folder, NGINX, root=root, user="user root;")
    return started(_nginx(folder, path), folder, port)


def nginx_http2(folder, root, pem):
    folder.mkdir()
    more = {"root": root, "pem": pem, "user": "user root;"}
    port, path = _configured(folder, NGINX_HTTP2, **more)
    return started(_nginx(folder, path), folder, port, "https")


def _nginx(folder, path):
    options = ["-p", str(folder), "-c", path, "-e", f"{folder}/error.log"]
    return [program("nginx"), *options]


def apache(folder, root):
    modules = "\n".join(
        f"LoadModule {name}_module modules/mod_{name}.so"
        for name in _APACHE_MODULES.split()
        if Path(f"/usr/lib/apache2/modules/mod_{name}.so").exists()
    )
    user = "User www-data\nGroup www-data"
    port, path = _configured(folder, APACHE, root=root, modules=modules, user=user)
    return started([program("apache2"), "-f", path, "-DFOREGROUND"], folder, port)


def caddy(folder, root):
    port, path = _configured(folder, CADDY, root=root)
    argv = [program("caddy"), "run", "--adapter", "caddyfile", "--config", path]
    return started(argv, folder, port)


def caddy_https(folder, root, certificate, key):
    folder.mkdir()
    values = {"root": root, "certificate": certificate, "key": key}
    port, path = _configured(folder, CADDY_HTTPS, **values)
    argv = [program("caddy"), "run", "--adapter", "caddyfile", "--config", path]
    return started(argv, folder, port, "https")


def hypercorn(folder, certificate, key):
    """HTTP/3, and older ones, from `folder`, which has the files."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    argv = [
        sys.executable,
        "-m",
        "hypercorn",
        "--quic-bind",
        address,
        "--bind",
        address,
    ]
    argv += ["--certfile", str(certificate), "--keyfile", str(key)]
    argv += ["--graceful-timeout", "0"]  # it waits that long for connections left open
    app = Path(__file__).parent / "http3_app.py"
    return started([*argv, f"{app}:app"], folder, port, "https")


def httpbin(folder):
    port = free_port()
    argv = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-w", "1"]
    return started([*argv, "--threads", "8", "httpbin:app"], folder, port)


def tinyproxy(folder, more=""):
    port, path = _configured(folder, TINYPROXY, more=more)
    return started([program("tinyproxy"), "-d", "-c", path], folder, port)


def microsocks(folder, *options):
    port = free_port()
    argv = [program("microsocks"), "-i", "127.0.0.1", "-p", str(port), *options]
    return started(argv, folder, port, "socks5")


def openssl(folder, certificate, key, *options):
    port = free_port()
    argv = [program("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-www"]
    where = ["-cert", str(certificate), "-key", str(key)]
    return started([*argv, "-quiet", *where, *options], folder, port, "https")
