<?php $name = htmlspecialchars($_GET['name'] ?? 'world'); ?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>__NAME__</title>
<link rel="stylesheet" href="/style.css">
<h1>Hello, <?= $name ?>!</h1>
<form><input name="name" placeholder="Your name"> <button>Greet</button></form>
<p>PHP <?= PHP_VERSION ?>, in WebAssembly.</p>
</html>
