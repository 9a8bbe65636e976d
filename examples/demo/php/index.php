<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>PHP</title>
<link rel="stylesheet" href="/style.css">
<main>
<p><a href="/">Demo</a></p>
<h1>PHP <?= PHP_VERSION ?></h1>
<p>A CGI program: PHP as it comes, compiled to WebAssembly, run anew for this request. It sees the folder with this
script, read-only, and nothing else.</p>
<?php $name = $_GET['name'] ?? ''; ?>
<form><label>Your name <input name="name" value="<?= htmlspecialchars($name) ?>"></label> <button>Greet</button></form>
<?php if ($name !== '') { ?>
<p id="greeting">Hello, <?= htmlspecialchars($name) ?>!</p>
<?php } ?>
<p>Reading <code>/etc/passwd</code>: <?= @file_get_contents('/etc/passwd') === false ? 'not granted' : 'granted?' ?>.
Writing beside this script: <?= @file_put_contents(__DIR__ . '/x', 'x') === false ? 'not granted' : 'granted?' ?>.</p>
</main>
</html>
