<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de"><context><name>geopointseg</name>
<message><source> minutes</source>
<translation> Minuten</translation></message>
<message><source>'{name}' is the image. It has no picture: click on imagery, or watch Live.</source>
<translation>„{name}“ ist das Bild. Es zeigt selbst nichts: Klicken Sie auf andere Bilder, oder folgen Sie Live.</translation></message>
<message><source>'{step}' failed. Check the network and QGIS's proxy, then try again.</source>
<translation>„{step}“ ist fehlgeschlagen. Prüfen Sie das Netzwerk und den Proxy in QGIS und versuchen Sie es erneut.</translation></message>
<message><source>(one point)</source>
<translation>(ein Punkt)</translation></message>
<message><source>A Python {needed} is needed, and the program uv, which downloads one, could not be fetched. Install Python from python.org or your system's packages, then choose it here.</source>
<translation>Ein Python {needed} wird gebraucht, und das Programm uv, das eines herunterlädt, ließ sich nicht holen. Installieren Sie Python von python.org oder aus den Paketen Ihres Systems und wählen Sie es dann hier.</translation></message>
<message><source>A file could not be written or opened. Often a virus scanner holds it: exclude the folder from scanning, or choose a folder that you may write to.</source>
<translation>Eine Datei ließ sich nicht schreiben oder öffnen. Oft hält ein Virenscanner sie fest: Nehmen Sie den Ordner von der Prüfung aus oder wählen Sie einen Ordner, in den Sie schreiben dürfen.</translation></message>
<message><source>A map needs two classes or more. Type their names into the table.</source>
<translation>Eine Karte braucht mindestens zwei Klassen. Tragen Sie ihre Namen in die Tabelle ein.</translation></message>
<message><source>A path is too long for Windows. Choose a short folder, such as C:\geopointseg.</source>
<translation>Ein Pfad ist zu lang für Windows. Wählen Sie einen kurzen Ordner, etwa C:\geopointseg.</translation></message>
<message><source>A sharper picture follows.</source>
<translation>Ein schärferes Bild folgt.</translation></message>
<message><source>A standalone Python is downloaded, with {path}.</source>
<translation>Ein eigenständiges Python wird heruntergeladen, mit {path}.</translation></message>
<message><source>A system library (DLL) cannot be loaded. Install the 'Microsoft Visual C++ Redistributable (x64)' from Microsoft and restart QGIS; if it is there, a virus scanner may hold the file back.</source>
<translation>Eine Systembibliothek (DLL) lässt sich nicht laden. Installieren Sie das „Microsoft Visual C++ Redistributable (x64)“ von Microsoft und starten Sie QGIS neu; ist es schon da, hält vielleicht ein Virenscanner die Datei zurück.</translation></message>
<message><source>Accuracy</source>
<translation>Genauigkeit</translation></message>
<message><source>Accuracy is measured with points that the model has not seen. {count} places can be drawn at random, for you to say what is there. If you have test points already, choose their layer in the panel.</source>
<translation>Die Genauigkeit wird mit Punkten gemessen, die das Modell nicht gesehen hat. {count} Orte können zufällig gezogen werden; Sie sagen, was dort ist. Wenn Sie schon Testpunkte haben, wählen Sie deren Layer im Bedienfeld.</translation></message>
<message><source>Accuracy of {MAP}</source>
<translation>Genauigkeit von {MAP}</translation></message>
<message><source>Add a point</source>
<translation>Punkt hinzufügen</translation></message>
<message><source>Add class</source>
<translation>Klasse hinzufügen</translation></message>
<message><source>Add class…</source>
<translation>Klasse hinzufügen…</translation></message>
<message><source>Address of a Dask scheduler, or local:N for N processes on this machine.</source>
<translation>Adresse eines Dask-Schedulers, oder local:N für N Prozesse auf diesem Rechner.</translation></message>
<message><source>Aim at {count} or more in each class.</source>
<translation>Ziel: {count} oder mehr in jeder Klasse.</translation></message>
<message><source>All points, with their part in the field 'split'</source>
<translation>Alle Punkte, mit ihrem Teil im Feld „split“</translation></message>
<message><source>All questions are answered. Next: 'Train'.</source>
<translation>Alle Fragen sind beantwortet. Als Nächstes: „Trainieren“.</translation></message>
<message><source>All test points have their class. Next: 'Assess'.</source>
<translation>Alle Testpunkte haben ihre Klasse. Als Nächstes: „Bewerten“.</translation></message>
<message><source>Allow points that trained the model</source>
<translation>Auch Punkte zulassen, mit denen das Modell gelernt hat</translation></message>
<message><source>Also map how unlike the training points each place is, and where it is too unlike for the model to be trusted.</source>
<translation>Kartiert auch, wie unähnlich jeder Ort den Trainingspunkten ist, und wo er zu unähnlich ist, um dem Modell zu trauen.</translation></message>
<message><source>Also mixes the bands linearly before, for images of different cameras. Needs 'Fit to ground that did not change'.</source>
<translation>Mischt vorher auch die Kanäle linear, für Bilder verschiedener Kameras. Braucht „An unveränderte Flächen anpassen“.</translation></message>
<message><source>Also write a report that opens in any browser.</source>
<translation>Schreibt auch einen Bericht, den jeder Browser öffnet.</translation></message>
<message><source>Also write class probabilities.</source>
<translation>Schreibt auch die Wahrscheinlichkeiten der Klassen.</translation></message>
<message><source>Also write confidence, entropy and margin.</source>
<translation>Schreibt auch Konfidenz, Entropie und Abstand der besten Klassen.</translation></message>
<message><source>Answer the question, or press 'Later' to click points freely.</source>
<translation>Beantworten Sie die Frage, oder drücken Sie „Später“, um frei Punkte zu setzen.</translation></message>
<message><source>Answer the questions ({count} open)</source>
<translation>Fragen beantworten ({count} offen)</translation></message>
<message><source>Anywhere</source>
<translation>Überall</translation></message>
<message><source>Area to map; outside of it the map is empty.</source>
<translation>Zu kartierendes Gebiet; außerhalb davon ist die Karte leer.</translation></message>
<message><source>Assess</source>
<translation>Bewerten</translation></message>
<message><source>Assess also on points that the model was trained on; the report states it.</source>
<translation>Bewertet auch mit Punkten, mit denen das Modell trainiert wurde; der Bericht gibt es an.</translation></message>
<message><source>Assess map</source>
<translation>Karte bewerten</translation></message>
<message><source>Assess map against a raster</source>
<translation>Karte gegen ein Raster bewerten</translation></message>
<message><source>At random over the whole map</source>
<translation>Zufällig über die ganze Karte</translation></message>
<message><source>At random within each class of the map</source>
<translation>Zufällig innerhalb jeder Klasse der Karte</translation></message>
<message><source>Automatic: several members, weighted</source>
<translation>Automatisch: mehrere Mitglieder, gewichtet</translation></message>
<message><source>Average over turned copies</source>
<translation>Über gedrehte Kopien mitteln</translation></message>
<message><source>Bands to use</source>
<translation>Zu verwendende Kanäle</translation></message>
<message><source>Bands to use: numbers from 1 or names, separated by commas; all by default.</source>
<translation>Zu verwendende Kanäle: Nummern ab 1 oder Namen, durch Kommas getrennt; sonst alle.</translation></message>
<message><source>Bare ground</source>
<translation>Offener Boden</translation></message>
<message><source>Blending of windows</source>
<translation>Überblendung der Fenster</translation></message>
<message><source>Blocks of ground</source>
<translation>Blöcke im Gelände</translation></message>
<message><source>Buffer around test points (m)</source>
<translation>Puffer um Testpunkte (m)</translation></message>
<message><source>Building</source>
<translation>Gebäude</translation></message>
<message><source>Built-up</source>
<translation>Bebaut</translation></message>
<message><source>By hand, or I do not know</source>
<translation>Von Hand, oder ich weiß es nicht</translation></message>
<message><source>Cancel</source>
<translation>Abbrechen</translation></message>
<message><source>Cancelled. No output was written.</source>
<translation>Abgebrochen. Es wurde kein Ergebnis geschrieben.</translation></message>
<message><source>Cancelled. The unfinished environment was removed.</source>
<translation>Abgebrochen. Die unfertige Umgebung wurde entfernt.</translation></message>
<message><source>Cancelling: waiting for the current step to end.</source>
<translation>Abbruch: Der laufende Schritt wird noch beendet.</translation></message>
<message><source>Cancelling…</source>
<translation>Wird abgebrochen…</translation></message>
<message><source>Centre of each window</source>
<translation>Mitte jedes Fensters</translation></message>
<message><source>Cereals</source>
<translation>Getreide</translation></message>
<message><source>Check</source>
<translation>Prüfen</translation></message>
<message><source>Check points</source>
<translation>Punkte prüfen</translation></message>
<message><source>Check the set-up</source>
<translation>Einrichtung prüfen</translation></message>
<message><source>Choose a folder that is an image: embeddings of TESSERA, a Zarr store, or the bands of a satellite image</source>
<translation>Einen Ordner wählen, der ein Bild ist: Embeddings von TESSERA, einen Zarr-Speicher oder die Kanäle eines Satellitenbilds</translation></message>
<message><source>Choose another one, or leave the field empty to have one downloaded.</source>
<translation>Wählen Sie ein anderes, oder lassen Sie das Feld leer, dann wird eines heruntergeladen.</translation></message>
<message><source>Choose another…</source>
<translation>Anderes wählen…</translation></message>
<message><source>Choose the file geopointseg-VERSION-py3-none-any.whl or the source folder of geopointseg. A name alone is not installed, because anybody can publish a package of that name.</source>
<translation>Wählen Sie die Datei geopointseg-VERSION-py3-none-any.whl oder den Quellordner von geopointseg. Ein Name allein wird nicht installiert, weil jeder ein Paket dieses Namens veröffentlichen kann.</translation></message>
<message><source>Choose the file that shall hold the points.</source>
<translation>Wählen Sie die Datei, in der die Punkte liegen sollen.</translation></message>
<message><source>Class</source>
<translation>Klasse</translation></message>
<message><source>Class field</source>
<translation>Klassenfeld</translation></message>
<message><source>Class map</source>
<translation>Klassenkarte</translation></message>
<message><source>Class map that 'Predict map' has written, or any raster of class codes.</source>
<translation>Klassenkarte, die „Karte berechnen“ geschrieben hat, oder ein beliebiges Raster mit Klassencodes.</translation></message>
<message><source>Class map to write.</source>
<translation>Zu schreibende Klassenkarte.</translation></message>
<message><source>Class probabilities</source>
<translation>Wahrscheinlichkeiten der Klassen</translation></message>
<message><source>Class probabilities of {RASTER}</source>
<translation>Klassenwahrscheinlichkeiten von {RASTER}</translation></message>
<message><source>Classes</source>
<translation>Klassen</translation></message>
<message><source>Classes: {names}</source>
<translation>Klassen: {names}</translation></message>
<message><source>Click on the map where you see: &lt;b&gt;{name}&lt;/b&gt;. Press a key for another class.</source>
<translation>Klicken Sie auf die Karte, wo Sie sehen: &lt;b&gt;{name}&lt;/b&gt;. Eine Zifferntaste wählt eine andere Klasse.</translation></message>
<message><source>Click points freely again; the questions stay</source>
<translation>Wieder frei Punkte setzen; die Fragen bleiben</translation></message>
<message><source>Click points of two classes to see a map.</source>
<translation>Klicken Sie Punkte von zwei Klassen, um eine Karte zu sehen.</translation></message>
<message><source>Close</source>
<translation>Schließen</translation></message>
<message><source>Cloud-optimized GeoTIFF</source>
<translation>Cloud-optimiertes GeoTIFF</translation></message>
<message><source>Cloud-optimized layout with overviews.</source>
<translation>Cloud-optimierter Aufbau mit Übersichten.</translation></message>
<message><source>Colour</source>
<translation>Farbe</translation></message>
<message><source>Compares the map with test points: accuracy of each class, errors, and areas.</source>
<translation>Vergleicht die Karte mit Testpunkten: Genauigkeit jeder Klasse, Fehler und Flächen.</translation></message>
<message><source>Compares the map, pixel by pixel, with a raster of the true classes.</source>
<translation>Vergleicht die Karte Pixel für Pixel mit einem Raster der wahren Klassen.</translation></message>
<message><source>Copy report</source>
<translation>Bericht kopieren</translation></message>
<message><source>Cropland</source>
<translation>Ackerland</translation></message>
<message><source>Crops</source>
<translation>Feldfrüchte</translation></message>
<message><source>Cross-validate the training on spatial blocks, and compare it with the majority class and with forests.</source>
<translation>Kreuzvalidiert das Training mit räumlichen Blöcken und vergleicht es mit der häufigsten Klasse und mit Wäldern.</translation></message>
<message><source>Dask scheduler</source>
<translation>Dask-Scheduler</translation></message>
<message><source>Demo points</source>
<translation>Punkte der Demo</translation></message>
<message><source>Demo scene</source>
<translation>Szene der Demo</translation></message>
<message><source>Downloading {name}: {got} of {size} MB; in all about {time} left</source>
<translation>{name} wird heruntergeladen: {got} von {size} MB; insgesamt noch etwa {time}</translation></message>
<message><source>Downloads the libraries for an NVIDIA graphics card as well, some gigabytes more. Without a card they are of no use.</source>
<translation>Lädt auch die Bibliotheken für eine NVIDIA-Grafikkarte herunter, einige Gigabyte mehr. Ohne Karte nützen sie nichts.</translation></message>
<message><source>Draw a test sample</source>
<translation>Teststichprobe ziehen</translation></message>
<message><source>Draw test points</source>
<translation>Testpunkte ziehen</translation></message>
<message><source>Draws places at random within each class of the map. Say what is there without looking at the map, then run 'Assess map': such a sample gives honest areas with confidence intervals.</source>
<translation>Zieht zufällige Orte innerhalb jeder Klasse der Karte. Bestimmen Sie, was dort ist, ohne auf die Karte zu sehen, und starten Sie dann „Karte bewerten“: Eine solche Stichprobe gibt ehrliche Flächen mit Vertrauensbereichen.</translation></message>
<message><source>Drop training points within this distance of a test point.</source>
<translation>Lässt Trainingspunkte weg, die näher als dies an einem Testpunkt liegen.</translation></message>
<message><source>Equalization</source>
<translation>Histogrammausgleich</translation></message>
<message><source>Error: {message}</source>
<translation>Fehler: {message}</translation></message>
<message><source>Everything is there</source>
<translation>Alles ist vorhanden</translation></message>
<message><source>Everything is there: you can train a model and predict a map. Next: 'Load the demo', or open your raster and make a points layer.</source>
<translation>Alles ist da: Sie können ein Modell trainieren und eine Karte berechnen. Als Nächstes: „Demo laden“, oder öffnen Sie Ihr Raster und legen Sie einen Punktlayer an.</translation></message>
<message><source>Extent to map</source>
<translation>Zu kartierende Ausdehnung</translation></message>
<message><source>Fallow</source>
<translation>Brache</translation></message>
<message><source>Field '{field}' of layer '{name}' has {classes} different values in {points} points: it numbers the points and holds no classes. Choose the field with the class.</source>
<translation>Das Feld „{field}“ des Layers „{name}“ hat {classes} verschiedene Werte in {points} Punkten: Es nummeriert die Punkte und enthält keine Klassen. Wählen Sie das Feld mit der Klasse.</translation></message>
<message><source>Field with the class</source>
<translation>Feld mit der Klasse</translation></message>
<message><source>Field with the class of each point, text or whole number. Leave empty to take the field by which the layer is categorized.</source>
<translation>Feld mit der Klasse jedes Punkts, Text oder ganze Zahl. Leer gilt das Feld, nach dem der Layer kategorisiert ist.</translation></message>
<message><source>File that names data, factors, levels and seeds.</source>
<translation>Datei, die Daten, Faktoren, Stufen und Startwerte nennt.</translation></message>
<message><source>File to write.</source>
<translation>Zu schreibende Datei.</translation></message>
<message><source>File with settings for experts, in TOML.</source>
<translation>Datei mit Einstellungen für Fachleute, in TOML.</translation></message>
<message><source>Find points that would harm the model, in seconds.</source>
<translation>Findet in Sekunden Punkte, die dem Modell schaden würden.</translation></message>
<message><source>Find the places where more points help most.</source>
<translation>Findet die Orte, an denen weitere Punkte am meisten helfen.</translation></message>
<message><source>Finds or makes the Python environment in which geopointseg works, and sets it as the interpreter of this toolbox. Nothing is installed into QGIS's own Python. The download takes about 1 gigabyte, with libraries for a graphics card about 5. Proxy and certificates of QGIS's settings are used.</source>
<translation>Findet oder baut die Python-Umgebung, in der geopointseg arbeitet, und stellt sie als Interpreter dieser Werkzeuge ein. In das Python von QGIS wird nichts installiert. Heruntergeladen wird etwa 1 Gigabyte, mit Bibliotheken für eine Grafikkarte etwa 5. Proxy und Zertifikate aus den Einstellungen von QGIS werden verwendet.</translation></message>
<message><source>Finish a stopped map</source>
<translation>Angehaltene Karte fertigstellen</translation></message>
<message><source>Fit only to pixels of the shared area that did not change.</source>
<translation>Passt nur an Pixel der gemeinsamen Fläche an, die sich nicht geändert haben.</translation></message>
<message><source>Fit to ground that did not change</source>
<translation>An unveränderte Flächen anpassen</translation></message>
<message><source>Folder for the demo</source>
<translation>Ordner für die Demo</translation></message>
<message><source>Folder for the environment (empty: local data of your account)</source>
<translation>Ordner für die Umgebung (leer: lokale Daten Ihres Kontos)</translation></message>
<message><source>Folder for the raster and the points of the demo.</source>
<translation>Ordner für Raster und Punkte der Demo.</translation></message>
<message><source>Folder of embeddings or bands</source>
<translation>Ordner mit Embeddings oder Kanälen</translation></message>
<message><source>Folder of tables, figures and the report.</source>
<translation>Ordner für Tabellen, Abbildungen und den Bericht.</translation></message>
<message><source>Folder of the model to write.</source>
<translation>Ordner des zu schreibenden Modells.</translation></message>
<message><source>Folder of the new environment. An environment that was made here before is upgraded. Leave empty for the folder of local data of your account.</source>
<translation>Ordner der neuen Umgebung. Eine Umgebung, die hier früher gebaut wurde, wird erneuert. Leer gilt der Ordner für lokale Daten Ihres Kontos.</translation></message>
<message><source>Folder of the weights to write.</source>
<translation>Ordner der zu schreibenden Gewichte.</translation></message>
<message><source>Folder that 'Train model' has written.</source>
<translation>Ordner, den „Modell trainieren“ geschrieben hat.</translation></message>
<message><source>Folder:</source>
<translation>Ordner:</translation></message>
<message><source>Folder…</source>
<translation>Ordner…</translation></message>
<message><source>Forest</source>
<translation>Wald</translation></message>
<message><source>Forest or not</source>
<translation>Wald oder nicht</translation></message>
<message><source>Go on with a run that was stopped, instead of starting anew.</source>
<translation>Setzt einen abgebrochenen Lauf fort, statt neu zu beginnen.</translation></message>
<message><source>Go on with a stopped pretraining</source>
<translation>Angehaltenes Vortraining fortsetzen</translation></message>
<message><source>Go on with a stopped training</source>
<translation>Angehaltenes Training fortsetzen</translation></message>
<message><source>Graphics card (NVIDIA)</source>
<translation>Grafikkarte (NVIDIA)</translation></message>
<message><source>Graphics card where there is one</source>
<translation>Grafikkarte, wo es eine gibt</translation></message>
<message><source>Grassland</source>
<translation>Grünland</translation></message>
<message><source>Ground unlike that of all points</source>
<translation>Gelände, das keinem der Punkte gleicht</translation></message>
<message><source>Hide</source>
<translation>Ausblenden</translation></message>
<message><source>Histogram</source>
<translation>Histogramm</translation></message>
<message><source>Hold out spatial blocks, or whole scenes (other dates, other sensors), in turn.</source>
<translation>Hält der Reihe nach räumliche Blöcke zurück, oder ganze Szenen (andere Tage, andere Sensoren).</translation></message>
<message><source>Hold to see the image (or hold H over the map)</source>
<translation>Halten, um das Bild zu sehen (oder H über der Karte halten)</translation></message>
<message><source>How the test points were drawn</source>
<translation>Wie die Testpunkte gezogen wurden</translation></message>
<message><source>How the test points were drawn. Areas and confidence intervals need a probability sample, such as 'Draw a test sample' makes.</source>
<translation>Wie die Testpunkte gezogen wurden. Flächen und Vertrauensbereiche brauchen eine Zufallsstichprobe, wie „Teststichprobe ziehen“ sie macht.</translation></message>
<message><source>Image</source>
<translation>Bild</translation></message>
<message><source>Improve</source>
<translation>Verbessern</translation></message>
<message><source>In clusters</source>
<translation>In Haufen</translation></message>
<message><source>In every object</source>
<translation>In jedem Objekt</translation></message>
<message><source>In view</source>
<translation>Im Ausschnitt</translation></message>
<message><source>Inference backend; auto measures all and takes the fastest that agrees with torch.</source>
<translation>Was die Netze rechnet; „auto“ misst alle und nimmt das schnellste, das mit torch übereinstimmt.</translation></message>
<message><source>Inference engine</source>
<translation>Rechenkern</translation></message>
<message><source>Inside of objects</source>
<translation>Im Inneren von Objekten</translation></message>
<message><source>Interpreter</source>
<translation>Interpreter</translation></message>
<message><source>Keep both</source>
<translation>Beide behalten</translation></message>
<message><source>Keep the model of Live and map the whole image with it.</source>
<translation>Das Modell von Live behalten und damit das ganze Bild kartieren.</translation></message>
<message><source>Keep this model</source>
<translation>Dieses Modell behalten</translation></message>
<message><source>Key</source>
<translation>Taste</translation></message>
<message><source>Kind of model</source>
<translation>Art des Modells</translation></message>
<message><source>Land</source>
<translation>Land</translation></message>
<message><source>Land cover</source>
<translation>Landbedeckung</translation></message>
<message><source>Land cover of {RASTER}</source>
<translation>Landbedeckung von {RASTER}</translation></message>
<message><source>Later</source>
<translation>Später</translation></message>
<message><source>Layer '{name}' cannot be edited.</source>
<translation>Der Layer „{name}“ kann nicht bearbeitet werden.</translation></message>
<message><source>Layer '{name}' could not be written for geopointseg: {reason}.</source>
<translation>Der Layer „{name}“ konnte nicht für geopointseg geschrieben werden: {reason}.</translation></message>
<message><source>Layer '{name}' gives nothing: it is empty, or only selected features were asked for and none is selected. Add features or clear that option.</source>
<translation>Der Layer „{name}“ ergibt nichts: Er ist leer, oder es wurden nur gewählte Objekte verlangt und keines ist gewählt. Fügen Sie Objekte hinzu oder schalten Sie diese Option aus.</translation></message>
<message><source>Layer '{name}' has no CRS. Points need one to be placed on the raster. Assign it with 'Assign projection' and run again.</source>
<translation>Der Layer „{name}“ hat kein KBS. Punkte brauchen eines, um auf das Raster gelegt zu werden. Weisen Sie es mit „Projektion zuweisen“ zu und starten Sie erneut.</translation></message>
<message><source>Layer '{name}' has no CRS. Set it in the layer's properties, under 'Source'.</source>
<translation>Der Layer „{name}“ hat kein KBS. Setzen Sie es in den Layereigenschaften unter „Quelle“.</translation></message>
<message><source>Layer '{name}' has no field that clearly holds the class. Choose the field, or press 'New…' for a layer that has one.</source>
<translation>Der Layer „{name}“ hat kein Feld, das eindeutig die Klasse enthält. Wählen Sie das Feld, oder drücken Sie „Neu…“ für einen Layer, der eines hat.</translation></message>
<message><source>Layer '{name}' has unsaved edits. The run uses the points as they are on the screen; save them before you close QGIS.</source>
<translation>Der Layer „{name}“ hat ungespeicherte Änderungen. Der Lauf verwendet die Punkte, wie sie auf dem Bildschirm sind; speichern Sie sie, bevor Sie QGIS schließen.</translation></message>
<message><source>Layer '{name}' is a table without places. Make points of its coordinates with 'Create points layer from table' and choose that layer.</source>
<translation>Der Layer „{name}“ ist eine Tabelle ohne Orte. Machen Sie aus seinen Koordinaten Punkte, mit „Punktlayer aus Tabelle erzeugen“, und wählen Sie diesen Layer.</translation></message>
<message><source>Layer '{name}' is styled by '{styled}', its classes are in '{field}': the colours are not used. Categorize the layer by '{field}' to choose them.</source>
<translation>Der Layer „{name}“ ist nach „{styled}“ gestaltet, seine Klassen stehen in „{field}“: Die Farben werden nicht verwendet. Kategorisieren Sie den Layer nach „{field}“, um sie zu wählen.</translation></message>
<message><source>Layer '{name}' takes no new points: {reason}. Save a copy as GeoPackage with 'Export &gt; Save Features As…' and choose that.</source>
<translation>Der Layer „{name}“ nimmt keine neuen Punkte an: {reason}. Speichern Sie mit „Export &gt; Objekte speichern als…“ eine Kopie als GeoPackage und wählen Sie diese.</translation></message>
<message><source>Layer of the points to assess the map with.</source>
<translation>Layer der Punkte, mit denen die Karte bewertet wird.</translation></message>
<message><source>Layer of the points to be labelled.</source>
<translation>Layer der Punkte, deren Klasse zu bestimmen ist.</translation></message>
<message><source>Layer of the points to look at again, with reasons, and of all remarks.</source>
<translation>Layer der Punkte, die noch einmal anzusehen sind, mit Gründen, und aller Bemerkungen.</translation></message>
<message><source>Layer of the points to train with.</source>
<translation>Layer der Punkte, mit denen trainiert wird.</translation></message>
<message><source>Layer with points of known class. Only selected features, layers in memory and unsaved edits work too.</source>
<translation>Layer mit Punkten bekannter Klasse. Auch nur gewählte Objekte, temporäre Layer und nicht gespeicherte Änderungen gehen.</translation></message>
<message><source>Layer with points of known class. Only selected features, layers in memory and unsaved edits work too. A polygon counts with every pixel inside.</source>
<translation>Layer mit Punkten bekannter Klasse. Auch nur gewählte Objekte, temporäre Layer und nicht gespeicherte Änderungen gehen. Ein Polygon zählt mit jedem Pixel darin.</translation></message>
<message><source>Layer with test points, which the model has not seen.</source>
<translation>Layer mit Testpunkten, die das Modell nicht gesehen hat.</translation></message>
<message><source>Learns from rasters without points. 'Train model' can start from the weights that it writes.</source>
<translation>Lernt aus Rastern ohne Punkte. „Modell trainieren“ kann von den geschriebenen Gewichten ausgehen.</translation></message>
<message><source>Least distance (m)</source>
<translation>Mindestabstand (m)</translation></message>
<message><source>Least distance between them (m)</source>
<translation>Kleinster Abstand zwischen ihnen (m)</translation></message>
<message><source>Leave it open, next question (key N)</source>
<translation>Offen lassen, nächste Frage (Taste N)</translation></message>
<message><source>Linear model on pretrained features (takes seconds)</source>
<translation>Lineares Modell auf vortrainierten Merkmalen (dauert Sekunden)</translation></message>
<message><source>Live</source>
<translation>Live</translation></message>
<message><source>Live has stopped: {reason}. No point is lost.</source>
<translation>Live ist beendet: {reason}. Kein Punkt ist verloren.</translation></message>
<message><source>Live is starting…</source>
<translation>Live startet …</translation></message>
<message><source>Live takes some 12 000 points at most. Choose a layer of fewer points.</source>
<translation>Live nimmt höchstens etwa 12 000 Punkte. Wählen Sie einen Layer mit weniger Punkten.</translation></message>
<message><source>Load the demo</source>
<translation>Demo laden</translation></message>
<message><source>Longest time that the training takes, in minutes.</source>
<translation>Längste Zeit für das Training, in Minuten.</translation></message>
<message><source>Longest training time (minutes)</source>
<translation>Längste Trainingszeit (Minuten)</translation></message>
<message><source>Look at the image inside the ring. Press the number of the class, or click on it in the list.</source>
<translation>Sehen Sie sich das Bild im Ring an. Drücken Sie die Ziffer der Klasse, oder klicken Sie sie in der Liste an.</translation></message>
<message><source>Maize</source>
<translation>Mais</translation></message>
<message><source>Make the environment</source>
<translation>Umgebung bauen</translation></message>
<message><source>Making an environment with {path}.</source>
<translation>Eine Umgebung wird angelegt mit {path}.</translation></message>
<message><source>Map</source>
<translation>Karte</translation></message>
<message><source>Map everything</source>
<translation>Alles kartieren</translation></message>
<message><source>Map the whole image with the model.</source>
<translation>Kartiert das ganze Bild mit dem Modell.</translation></message>
<message><source>Mapped pixels</source>
<translation>Kartierte Pixel</translation></message>
<message><source>Maps the classes of a raster with a model.</source>
<translation>Kartiert die Klassen eines Rasters mit einem Modell.</translation></message>
<message><source>Match histogram</source>
<translation>Histogramm angleichen</translation></message>
<message><source>Matched raster</source>
<translation>Angeglichenes Raster</translation></message>
<message><source>Matches the histogram of a raster to another one, band by band.</source>
<translation>Gleicht das Histogramm eines Rasters Kanal für Kanal dem eines anderen an.</translation></message>
<message><source>Mean F1</source>
<translation>Mittleres F1</translation></message>
<message><source>Mean F1 of the forest on held-out points</source>
<translation>Mittleres F1 des Random Forest auf zurückgehaltenen Punkten</translation></message>
<message><source>Mean F1 of the linear model on held-out points</source>
<translation>Mittleres F1 des linearen Modells auf zurückgehaltenen Punkten</translation></message>
<message><source>Mean F1 of the network on held-out points</source>
<translation>Mittleres F1 des Netzes auf zurückgehaltenen Punkten</translation></message>
<message><source>Mean IoU</source>
<translation>Mittlere IoU</translation></message>
<message><source>Mean and standard deviation</source>
<translation>Mittelwert und Standardabweichung</translation></message>
<message><source>Measure the accuracy of the map with test points.</source>
<translation>Misst die Genauigkeit der Karte mit Testpunkten.</translation></message>
<message><source>Memory ran out. Close other programs or use a smaller raster.</source>
<translation>Der Arbeitsspeicher reicht nicht. Schließen Sie andere Programme oder nehmen Sie ein kleineres Raster.</translation></message>
<message><source>Merge patches of fewer pixels into their neighbours.</source>
<translation>Schlägt Flecken mit weniger Pixeln ihren Nachbarn zu.</translation></message>
<message><source>Method</source>
<translation>Verfahren</translation></message>
<message><source>Method of the matching.</source>
<translation>Verfahren der Angleichung.</translation></message>
<message><source>Mirrored and turned copies</source>
<translation>Gespiegelte und gedrehte Kopien</translation></message>
<message><source>Mirrored copies</source>
<translation>Gespiegelte Kopien</translation></message>
<message><source>Mix the bands, for images of different cameras</source>
<translation>Kanäle mischen, für Bilder verschiedener Kameras</translation></message>
<message><source>Model</source>
<translation>Modell</translation></message>
<message><source>Model folder</source>
<translation>Modellordner</translation></message>
<message><source>Model to show in the report</source>
<translation>Modell, das der Bericht zeigt</translation></message>
<message><source>More models to average (model.json)</source>
<translation>Weitere Modelle zum Mitteln (model.json)</translation></message>
<message><source>More options for pip</source>
<translation>Weitere Optionen für pip</translation></message>
<message><source>More rasters</source>
<translation>Weitere Raster</translation></message>
<message><source>More rasters to learn from</source>
<translation>Weitere Raster, aus denen gelernt wird</translation></message>
<message><source>Move the map to the place of the question</source>
<translation>Die Karte zum Ort der Frage bewegen</translation></message>
<message><source>My own classes</source>
<translation>Eigene Klassen</translation></message>
<message><source>Name</source>
<translation>Name</translation></message>
<message><source>Name of the class</source>
<translation>Name der Klasse</translation></message>
<message><source>Near edges of objects</source>
<translation>An Rändern von Objekten</translation></message>
<message><source>Nearest neighbours (embeddings only)</source>
<translation>Nächste Nachbarn (nur für Embeddings)</translation></message>
<message><source>Neural network</source>
<translation>Neuronales Netz</translation></message>
<message><source>New points layer</source>
<translation>Neuer Punktlayer</translation></message>
<message><source>New…</source>
<translation>Neu…</translation></message>
<message><source>Next question</source>
<translation>Nächste Frage</translation></message>
<message><source>Next:</source>
<translation>Als Nächstes:</translation></message>
<message><source>Next: 'Assess', or 'Where next?' to improve the map.</source>
<translation>Als Nächstes: „Bewerten“, oder „Wo weiter?“, um die Karte zu verbessern.</translation></message>
<message><source>Next: 'Map'.</source>
<translation>Als Nächstes: „Karte“.</translation></message>
<message><source>Next: 'Train'.</source>
<translation>Als Nächstes: „Trainieren“.</translation></message>
<message><source>Next: answer the questions, then 'Train' again.</source>
<translation>Als Nächstes: die Fragen beantworten, dann noch einmal „Trainieren“.</translation></message>
<message><source>Next: read the report, or 'Where next?' to improve the map.</source>
<translation>Als Nächstes: den Bericht lesen, oder „Wo weiter?“, um die Karte zu verbessern.</translation></message>
<message><source>Next: say what is at each test point, as seen in the image, then 'Assess'.</source>
<translation>Als Nächstes: für jeden Testpunkt sagen, was im Bild dort zu sehen ist, dann „Bewerten“.</translation></message>
<message><source>No</source>
<translation>Nein</translation></message>
<message><source>No Python interpreter with geopointseg is set.</source>
<translation>Es ist kein Python-Interpreter mit geopointseg eingestellt.</translation></message>
<message><source>No Python {needed} or newer was found; looked at: {seen}.</source>
<translation>Es wurde kein Python {needed} oder neuer gefunden; angesehen: {seen}.</translation></message>
<message><source>No file can be written beside the points: {reason}</source>
<translation>Neben den Punkten kann keine Datei geschrieben werden: {reason}</translation></message>
<message><source>No forest</source>
<translation>Kein Wald</translation></message>
<message><source>None was found on this computer.</source>
<translation>Auf diesem Rechner wurde keine gefunden.</translation></message>
<message><source>Not saved yet.</source>
<translation>Noch nicht gespeichert.</translation></message>
<message><source>Not saved: {reason}</source>
<translation>Nicht gespeichert: {reason}</translation></message>
<message><source>Note:</source>
<translation>Hinweis:</translation></message>
<message><source>Number of folds</source>
<translation>Anzahl der Teile (Folds)</translation></message>
<message><source>Number of folds instead of a share</source>
<translation>Anzahl der Teile (Folds) statt eines Anteils</translation></message>
<message><source>Number of optimizer steps; 0 trains until the time is used.</source>
<translation>Zahl der Optimierungsschritte; bei 0 wird trainiert, bis die Zeit um ist.</translation></message>
<message><source>Number of parts that the points are divided into.</source>
<translation>Zahl der Teile, in die die Punkte geteilt werden.</translation></message>
<message><source>Number of places</source>
<translation>Zahl der Orte</translation></message>
<message><source>Number of points</source>
<translation>Anzahl der Punkte</translation></message>
<message><source>Number of points. They are drawn at random within each class of the map; fill in their class and assess.</source>
<translation>Zahl der Punkte. Sie werden zufällig innerhalb jeder Klasse der Karte gezogen; tragen Sie ihre Klasse ein und bewerten Sie.</translation></message>
<message><source>Number of questionable points</source>
<translation>Zahl der fraglichen Punkte</translation></message>
<message><source>Number of remarks</source>
<translation>Zahl der Bemerkungen</translation></message>
<message><source>ONNX Runtime</source>
<translation>ONNX Runtime</translation></message>
<message><source>On ground held out: {accuracy:.2f} ± {standard_error:.2f} ({points} points in {blocks} blocks)</source>
<translation>Auf zurückgehaltenem Gelände: {accuracy:.2f} ± {standard_error:.2f} ({points} Punkte in {blocks} Blöcken)</translation></message>
<message><source>On ground that it had not seen, the recipe was right in {OVERALL_ACCURACY:.0%} of the points (mean F1 {MEAN_F1:.2f}). Next: 'Train model' with all points.</source>
<translation>Auf Gelände, das es nicht gesehen hatte, stimmte das Verfahren bei {OVERALL_ACCURACY:.0%} der Punkte (mittleres F1 {MEAN_F1:.2f}). Als Nächstes: „Modell trainieren“ mit allen Punkten.</translation></message>
<message><source>Opacity</source>
<translation>Deckkraft</translation></message>
<message><source>Open the report</source>
<translation>Bericht öffnen</translation></message>
<message><source>OpenVINO</source>
<translation>OpenVINO</translation></message>
<message><source>Opening {name}…</source>
<translation>{name} wird geöffnet…</translation></message>
<message><source>Opens a small synthetic landscape and points of eight classes, to try every tool.</source>
<translation>Öffnet eine kleine künstliche Landschaft und Punkte von acht Klassen, um jedes Werkzeug zu erproben.</translation></message>
<message><source>Or make a new environment (about 1 GB is downloaded)</source>
<translation>Oder eine neue Umgebung bauen (etwa 1 GB wird heruntergeladen)</translation></message>
<message><source>Overall accuracy</source>
<translation>Gesamtgenauigkeit</translation></message>
<message><source>Overlap of neighbouring windows in pixels; -1 takes what the model needs.</source>
<translation>Überlappung benachbarter Fenster in Pixeln; -1 nimmt, was das Modell braucht.</translation></message>
<message><source>Overlap of windows (pixels)</source>
<translation>Überlappung der Fenster (Pixel)</translation></message>
<message><source>Passed on to 'pip install', for example the address of your organization's package index.</source>
<translation>Wird an „pip install“ weitergegeben, zum Beispiel die Adresse des Paketverzeichnisses Ihrer Organisation.</translation></message>
<message><source>Percentiles</source>
<translation>Perzentile</translation></message>
<message><source>Pick a class first, then click on the map.</source>
<translation>Wählen Sie zuerst eine Klasse, dann klicken Sie auf die Karte.</translation></message>
<message><source>Pick a class, then click on the map where you see it.</source>
<translation>Wählen Sie eine Klasse, dann klicken Sie auf die Karte, wo Sie sie sehen.</translation></message>
<message><source>Placement of the points</source>
<translation>Platzierung der Punkte</translation></message>
<message><source>Placement of the points.</source>
<translation>Lage der Punkte.</translation></message>
<message><source>Points</source>
<translation>Punkte</translation></message>
<message><source>Points from {MASK}</source>
<translation>Punkte aus {MASK}</translation></message>
<message><source>Points in each class</source>
<translation>Punkte in jeder Klasse</translation></message>
<message><source>Points panel</source>
<translation>Punktfenster</translation></message>
<message><source>Points per class.</source>
<translation>Punkte je Klasse.</translation></message>
<message><source>Points that are not used: {count}. {reason}</source>
<translation>Nicht verwendete Punkte: {count}. {reason}</translation></message>
<message><source>Points that are there already</source>
<translation>Punkte, die es schon gibt</translation></message>
<message><source>Points that are there already; by default those that the model was trained on.</source>
<translation>Punkte, die schon da sind; sonst die, mit denen das Modell trainiert wurde.</translation></message>
<message><source>Points to suggest.</source>
<translation>Vorzuschlagende Punkte.</translation></message>
<message><source>Points to write.</source>
<translation>Zu schreibende Punkte.</translation></message>
<message><source>Points with known class</source>
<translation>Punkte mit bekannter Klasse</translation></message>
<message><source>Polygons to map (instead of an extent)</source>
<translation>Zu kartierende Polygone (statt einer Ausdehnung)</translation></message>
<message><source>Potatoes and beets</source>
<translation>Kartoffeln und Rüben</translation></message>
<message><source>Predict map</source>
<translation>Karte berechnen</translation></message>
<message><source>Press Q for the next question.</source>
<translation>Drücken Sie Q für die nächste Frage.</translation></message>
<message><source>Pretrain without points</source>
<translation>Ohne Punkte vortrainieren</translation></message>
<message><source>Probably a class of few points</source>
<translation>Wahrscheinlich eine Klasse mit wenigen Punkten</translation></message>
<message><source>Processor</source>
<translation>Prozessor</translation></message>
<message><source>Processor (CPU)</source>
<translation>Prozessor (CPU)</translation></message>
<message><source>PyTorch</source>
<translation>PyTorch</translation></message>
<message><source>Python 3.12 or newer (empty: search for one)</source>
<translation>Python 3.12 oder neuer (leer: danach suchen)</translation></message>
<message><source>Python 3.12 or newer that makes the environment. QGIS's own Python is not touched. Leave empty to search for one; where none is found, one is downloaded.</source>
<translation>Python 3.12 oder neuer, das die Umgebung baut. Das Python von QGIS wird nicht angerührt. Leer wird eines gesucht; wo keines ist, wird eines heruntergeladen.</translation></message>
<message><source>Python interpreter that has geopointseg</source>
<translation>Python-Interpreter, der geopointseg hat</translation></message>
<message><source>Python that has geopointseg</source>
<translation>Python, das geopointseg hat</translation></message>
<message><source>Question before (key B)</source>
<translation>Vorige Frage (Taste B)</translation></message>
<message><source>Question {number} of {count}</source>
<translation>Frage {number} von {count}</translation></message>
<message><source>Questionable points</source>
<translation>Fragliche Punkte</translation></message>
<message><source>Questionable points and remarks</source>
<translation>Fragliche Punkte und Bemerkungen</translation></message>
<message><source>Questionable points of {POINTS}</source>
<translation>Fragliche Punkte von {POINTS}</translation></message>
<message><source>Random forest (takes seconds)</source>
<translation>Random Forest (dauert Sekunden)</translation></message>
<message><source>Random seed</source>
<translation>Startwert des Zufalls</translation></message>
<message><source>Rapeseed</source>
<translation>Raps</translation></message>
<message><source>Raster</source>
<translation>Raster</translation></message>
<message><source>Raster '{name}' comes from the provider '{provider}', which only QGIS can read; geopointseg needs a file. Save it with Export &gt; Save As… as a GeoTIFF (raw data) and choose that layer.</source>
<translation>Das Raster „{name}“ kommt vom Provider „{provider}“, den nur QGIS lesen kann; geopointseg braucht eine Datei. Speichern Sie es mit Export &gt; Speichern als… als GeoTIFF (Rohdaten) und wählen Sie diesen Layer.</translation></message>
<message><source>Raster '{name}' has no CRS, which is needed to place points and maps on the ground. Give the file one with 'Assign projection' (GDAL) and choose it again.</source>
<translation>Das Raster „{name}“ hat kein KBS; ohne KBS lassen sich Punkte und Karten nicht verorten. Geben Sie der Datei mit „Projektion zuweisen“ (GDAL) eines und wählen Sie sie erneut.</translation></message>
<message><source>Raster file, not a web service. 'Folder…' takes a folder of embeddings or bands, '…' takes a file, such as a .npy grid.</source>
<translation>Rasterdatei, kein Webdienst. „Ordner…“ nimmt einen Ordner mit Embeddings oder Kanälen, „…“ eine Datei, etwa ein Gitter in .npy.</translation></message>
<message><source>Raster in which points lie; there may be several, of other dates and places too. 'Folder…' takes a folder of embeddings or bands, '…' takes a file, such as a .npy grid.</source>
<translation>Raster, in dem Punkte liegen; es dürfen mehrere sein, auch von anderen Tagen und Orten. „Ordner…“ nimmt einen Ordner mit Embeddings oder Kanälen, „…“ eine Datei, etwa ein Gitter in .npy.</translation></message>
<message><source>Raster of classes</source>
<translation>Raster mit Klassen</translation></message>
<message><source>Raster that holds a class code in every pixel.</source>
<translation>Raster, das in jedem Pixel einen Klassencode hat.</translation></message>
<message><source>Raster that the training points lie on, for the unlikeness; the mapped raster by default.</source>
<translation>Raster, auf dem die Trainingspunkte liegen, für die Unähnlichkeit; sonst das kartierte Raster.</translation></message>
<message><source>Raster to change</source>
<translation>Zu änderndes Raster</translation></message>
<message><source>Raster to learn from</source>
<translation>Raster, aus dem gelernt wird</translation></message>
<message><source>Raster to map</source>
<translation>Zu kartierendes Raster</translation></message>
<message><source>Raster to show in the report</source>
<translation>Raster, das der Bericht zeigt</translation></message>
<message><source>Raster to write.</source>
<translation>Zu schreibendes Raster.</translation></message>
<message><source>Raster whose values are changed, band by band; the file itself stays as it is.</source>
<translation>Raster, dessen Werte Kanal für Kanal geändert werden; die Datei selbst bleibt, wie sie ist.</translation></message>
<message><source>Raster with the true class codes.</source>
<translation>Raster mit den wahren Klassencodes.</translation></message>
<message><source>Raster with the true classes</source>
<translation>Raster mit den wahren Klassen</translation></message>
<message><source>Rasters the model was trained on</source>
<translation>Raster, mit denen das Modell trainiert wurde</translation></message>
<message><source>Rasters to look like</source>
<translation>Raster, deren Aussehen übernommen wird</translation></message>
<message><source>Rasters without points</source>
<translation>Raster ohne Punkte</translation></message>
<message><source>Redo</source>
<translation>Wiederholen</translation></message>
<message><source>Reference raster; several together too.</source>
<translation>Referenzraster; auch mehrere zusammen.</translation></message>
<message><source>Remove class</source>
<translation>Klasse entfernen</translation></message>
<message><source>Replace</source>
<translation>Ersetzen</translation></message>
<message><source>Replace the model in the folder</source>
<translation>Das Modell im Ordner ersetzen</translation></message>
<message><source>Report</source>
<translation>Bericht</translation></message>
<message><source>Report that opens in any browser.</source>
<translation>Bericht, den jeder Browser öffnet.</translation></message>
<message><source>Road</source>
<translation>Straße</translation></message>
<message><source>Run 'Set up geopointseg' in the toolbox; it finds one or makes one.</source>
<translation>Starten Sie „geopointseg einrichten“ in den Werkzeugen; es findet einen oder baut einen.</translation></message>
<message><source>Run a small version: one data set, one seed, a few steps.</source>
<translation>Führt eine kleine Fassung aus: ein Datensatz, ein Startwert, wenige Schritte.</translation></message>
<message><source>Run a study</source>
<translation>Studie ausführen</translation></message>
<message><source>Running. You can go on clicking points meanwhile.</source>
<translation>Läuft. Sie können inzwischen weiter Punkte setzen.</translation></message>
<message><source>Runs at the same time</source>
<translation>Gleichzeitige Läufe</translation></message>
<message><source>Runs at the same time.</source>
<translation>Läufe zur gleichen Zeit.</translation></message>
<message><source>Same number in every class</source>
<translation>Gleich viele in jeder Klasse</translation></message>
<message><source>Save</source>
<translation>Speichern</translation></message>
<message><source>Saved as</source>
<translation>Gespeichert als</translation></message>
<message><source>Says whether geopointseg can work here, and what is missing.</source>
<translation>Sagt, ob geopointseg hier arbeiten kann und was fehlt.</translation></message>
<message><source>Says whether points can be used on the raster, before any training.</source>
<translation>Sagt vor jedem Training, ob die Punkte auf dem Raster brauchbar sind.</translation></message>
<message><source>Scene and points of the demo are loaded. Next: 'Train model' with both.</source>
<translation>Szene und Punkte der Demo sind geladen. Als Nächstes: „Modell trainieren“ mit beiden.</translation></message>
<message><source>Scenes without points that will be mapped; the model is adapted to them.</source>
<translation>Szenen ohne Punkte, die kartiert werden sollen; das Modell wird an sie angepasst.</translation></message>
<message><source>Seed of everything random; the same seed repeats a run.</source>
<translation>Startwert alles Zufälligen; derselbe Startwert wiederholt einen Lauf.</translation></message>
<message><source>Set the class of a point</source>
<translation>Klasse eines Punktes setzen</translation></message>
<message><source>Set up geopointseg</source>
<translation>geopointseg einrichten</translation></message>
<message><source>Set-up</source>
<translation>Einrichtung</translation></message>
<message><source>Settings file (TOML)</source>
<translation>Einstellungsdatei (TOML)</translation></message>
<message><source>Share kept for the test</source>
<translation>Anteil für den Test</translation></message>
<message><source>Share of points to keep for testing.</source>
<translation>Anteil der Punkte, der für den Test bleibt.</translation></message>
<message><source>Share of points with a wrong class.</source>
<translation>Anteil der Punkte mit falscher Klasse.</translation></message>
<message><source>Share of wrong labels</source>
<translation>Anteil falscher Klassen</translation></message>
<message><source>Shared middle histogram</source>
<translation>Gemeinsames mittleres Histogramm</translation></message>
<message><source>Show</source>
<translation>Zeigen</translation></message>
<message><source>Show a map of what is in view that follows every click</source>
<translation>Eine Karte des sichtbaren Ausschnitts zeigen, die jedem Klick folgt</translation></message>
<message><source>Show the place where the next point helps most (key Q over the map)</source>
<translation>Die Stelle zeigen, an der der nächste Punkt am meisten hilft (Taste Q über der Karte)</translation></message>
<message><source>Shows the model's training and calibration in the report.</source>
<translation>Zeigt Training und Kalibrierung des Modells im Bericht.</translation></message>
<message><source>Side of a block (m)</source>
<translation>Seitenlänge eines Blocks (m)</translation></message>
<message><source>Side of a block; by default the range of the variogram of the labels.</source>
<translation>Seitenlänge eines Blocks; sonst die Reichweite des Variogramms der Klassen.</translation></message>
<message><source>Side of a spatial block; by default the range of the variogram of the labels.</source>
<translation>Seitenlänge eines räumlichen Blocks; sonst die Reichweite des Variogramms der Klassen.</translation></message>
<message><source>Simulate points</source>
<translation>Punkte simulieren</translation></message>
<message><source>Simulate points from dense masks.</source>
<translation>Simuliert Punkte aus flächendeckenden Masken.</translation></message>
<message><source>Simulated points</source>
<translation>Simulierte Punkte</translation></message>
<message><source>Skip</source>
<translation>Überspringen</translation></message>
<message><source>Small trial run</source>
<translation>Kleiner Probelauf</translation></message>
<message><source>Smallest distance between them.</source>
<translation>Kleinster Abstand zwischen ihnen.</translation></message>
<message><source>Smallest distance between two points.</source>
<translation>Kleinster Abstand zweier Punkte.</translation></message>
<message><source>Smallest patch (pixels)</source>
<translation>Kleinster Fleck (Pixel)</translation></message>
<message><source>Smooth (Gaussian)</source>
<translation>Weich (Gauß)</translation></message>
<message><source>Smooth (Hann)</source>
<translation>Weich (Hann)</translation></message>
<message><source>Something is missing; see the lines above. Next: 'Set up geopointseg'.</source>
<translation>Etwas fehlt; siehe die Zeilen darüber. Als Nächstes: „geopointseg einrichten“.</translation></message>
<message><source>Split points by spatial blocks, so that test points and training points lie in different blocks.</source>
<translation>Teilt Punkte nach räumlichen Blöcken, so dass Test- und Trainingspunkte in verschiedenen Blöcken liegen.</translation></message>
<message><source>Split points into training and test</source>
<translation>Punkte in Training und Test aufteilen</translation></message>
<message><source>Start Live again</source>
<translation>Live neu starten</translation></message>
<message><source>Start with</source>
<translation>Vorlage</translation></message>
<message><source>Starting weights</source>
<translation>Startgewichte</translation></message>
<message><source>Study file (TOML)</source>
<translation>Studiendatei (TOML)</translation></message>
<message><source>Study folder</source>
<translation>Studienordner</translation></message>
<message><source>Suggest the places where new points improve the model most.</source>
<translation>Schlägt die Stellen vor, an denen neue Punkte das Modell am meisten verbessern.</translation></message>
<message><source>Suggest where to click next</source>
<translation>Nächste Klicks vorschlagen</translation></message>
<message><source>Suggested points</source>
<translation>Vorgeschlagene Punkte</translation></message>
<message><source>Test point {number} of {count}</source>
<translation>Testpunkt {number} von {count}</translation></message>
<message><source>Test points</source>
<translation>Testpunkte</translation></message>
<message><source>Test points with known class</source>
<translation>Testpunkte mit bekannter Klasse</translation></message>
<message><source>Test sample</source>
<translation>Teststichprobe</translation></message>
<message><source>Test sample of {MAP}</source>
<translation>Teststichprobe von {MAP}</translation></message>
<message><source>Test-time augmentation: average over flips, over flips and rotations (d4), or over three scales.</source>
<translation>Mittelung über gespiegelte, über gespiegelte und gedrehte Bilder (d4), oder über drei Maßstäbe.</translation></message>
<message><source>The certificate of the server is not trusted. Ask your administrator for the certificate of your network and add it under Settings &gt; Options &gt; Authentication &gt; Manage certificates.</source>
<translation>Dem Zertifikat des Servers wird nicht vertraut. Fragen Sie Ihre Administration nach dem Zertifikat Ihres Netzes und fügen Sie es hinzu unter Einstellungen &gt; Optionen &gt; Authentifizierung &gt; Zertifikate verwalten.</translation></message>
<message><source>The class '{name}' is there already.</source>
<translation>Die Klasse „{name}“ gibt es schon.</translation></message>
<message><source>The class '{name}' is there twice. Give every class a name of its own.</source>
<translation>Die Klasse „{name}“ gibt es zweimal. Geben Sie jeder Klasse einen eigenen Namen.</translation></message>
<message><source>The disk is full. Free some space, or choose a folder on another disk.</source>
<translation>Der Datenträger ist voll. Schaffen Sie Platz oder wählen Sie einen Ordner auf einem anderen.</translation></message>
<message><source>The disk of {folder} has {free} GB free; about {needed} GB are needed.</source>
<translation>Der Datenträger von {folder} hat {free} GB frei; etwa {needed} GB werden gebraucht.</translation></message>
<message><source>The fastest one that agrees</source>
<translation>Die schnellste, die übereinstimmt</translation></message>
<message><source>The field '{field}' takes whole numbers only, and '{value}' is none.</source>
<translation>Das Feld „{field}“ nimmt nur ganze Zahlen, und „{value}“ ist keine.</translation></message>
<message><source>The file geopointseg-VERSION-py3-none-any.whl, or the source folder. Leave empty for the file that comes with the plugin.</source>
<translation>Die Datei geopointseg-VERSION-py3-none-any.whl oder der Quellordner. Leer gilt die Datei, die mit der Erweiterung kommt.</translation></message>
<message><source>The file {path} could not be written: {reason}. Choose another folder.</source>
<translation>Die Datei {path} konnte nicht geschrieben werden: {reason}. Wählen Sie einen anderen Ordner.</translation></message>
<message><source>The file {path} exists. Choose another name.</source>
<translation>Die Datei {path} gibt es schon. Wählen Sie einen anderen Namen.</translation></message>
<message><source>The folder is kept: {folder}.</source>
<translation>Der Ordner bleibt erhalten: {folder}.</translation></message>
<message><source>The folder {folder} holds a model already. Choose another name, for example {free}, or tick '{replace}' under the advanced parameters.</source>
<translation>Der Ordner {folder} enthält schon ein Modell. Wählen Sie einen anderen Namen, zum Beispiel {free}, oder setzen Sie den Haken bei „{replace}“ unter den erweiterten Parametern.</translation></message>
<message><source>The folder {folder} holds other files. An environment needs a new or empty folder, or one made by 'Set up geopointseg' before. Choose another one.</source>
<translation>Der Ordner {folder} enthält andere Dateien. Eine Umgebung braucht einen neuen oder leeren Ordner oder einen, den „geopointseg einrichten“ früher gemacht hat. Wählen Sie einen anderen.</translation></message>
<message><source>The folder {folder} lies in the QGIS profile, which is copied between computers and emptied by updates. Choose a folder on a local disk, for example {free}.</source>
<translation>Der Ordner {folder} liegt im QGIS-Profil, das zwischen Rechnern kopiert und bei Updates geleert wird. Wählen Sie einen Ordner auf einem lokalen Datenträger, zum Beispiel {free}.</translation></message>
<message><source>The interpreter {path} does not exist.</source>
<translation>Den Interpreter {path} gibt es nicht.</translation></message>
<message><source>The interpreter {path} is not a program that may be executed.</source>
<translation>Der Interpreter {path} ist kein Programm, das ausgeführt werden darf.</translation></message>
<message><source>The larger libraries of the public index are used instead.</source>
<translation>Stattdessen werden die größeren Bibliotheken des öffentlichen Verzeichnisses genommen.</translation></message>
<message><source>The layer for '{name}' cannot be opened: {given}. Choose another one.</source>
<translation>Der Layer für „{name}“ lässt sich nicht öffnen: {given}. Wählen Sie einen anderen.</translation></message>
<message><source>The map agrees with {OVERALL_ACCURACY:.0%} of the reference (mean F1 {MEAN_F1:.2f}). Next: read the report.</source>
<translation>Die Karte stimmt mit {OVERALL_ACCURACY:.0%} der Referenz überein (mittleres F1 {MEAN_F1:.2f}). Als Nächstes: Lesen Sie den Bericht.</translation></message>
<message><source>The map agrees with {OVERALL_ACCURACY:.0%} of {POINT_COUNT} test points (mean F1 {MEAN_F1:.2f}). Next: read the report, then 'Suggest where to click next'.</source>
<translation>Die Karte stimmt mit {OVERALL_ACCURACY:.0%} von {POINT_COUNT} Testpunkten überein (mittleres F1 {MEAN_F1:.2f}). Als Nächstes: Lesen Sie den Bericht, dann „Nächste Klicks vorschlagen“.</translation></message>
<message><source>The map is ready: {PIXEL_COUNT:,} pixels. Next: 'Assess map' with test points, or 'Draw a test sample'.</source>
<translation>Die Karte ist fertig: {PIXEL_COUNT:,} Pixel. Als Nächstes: „Karte bewerten“ mit Testpunkten, oder „Teststichprobe ziehen“.</translation></message>
<message><source>The matched raster is ready. Next: 'Train model' or 'Predict map' with it.</source>
<translation>Das angeglichene Raster ist fertig. Als Nächstes: damit „Modell trainieren“ oder „Karte berechnen“.</translation></message>
<message><source>The model '{name}' exists. Replace it, or keep it and train another one?</source>
<translation>Das Modell „{name}“ gibt es schon. Soll es ersetzt werden, oder soll es bleiben und ein weiteres trainiert werden?</translation></message>
<message><source>The model is in doubt here</source>
<translation>Hier ist das Modell im Zweifel</translation></message>
<message><source>The model is kept in {folder}.</source>
<translation>Das Modell liegt in {folder}.</translation></message>
<message><source>The model is ready, in {OUTPUT}. Next: 'Predict map'.</source>
<translation>Das Modell ist fertig, in {OUTPUT}. Als Nächstes: „Karte berechnen“.</translation></message>
<message><source>The network cannot be reached. Check the connection and the proxy under Settings &gt; Options &gt; Network, then try again.</source>
<translation>Das Netz ist nicht erreichbar. Prüfen Sie die Verbindung und den Proxy unter Einstellungen &gt; Optionen &gt; Netzwerk und versuchen Sie es erneut.</translation></message>
<message><source>The path {folder} has {length} characters, which makes some paths in it too long for Windows. Choose a shorter one, for example C:\geopointseg.</source>
<translation>Der Pfad {folder} hat {length} Zeichen; damit werden manche Pfade darin zu lang für Windows. Wählen Sie einen kürzeren, zum Beispiel C:\geopointseg.</translation></message>
<message><source>The points are usable</source>
<translation>Die Punkte sind brauchbar</translation></message>
<message><source>The points of '{name}' lie nowhere on raster '{raster}'. Choose the raster under the points; if they should lie there, correct the CRS of the layer ({crs}).</source>
<translation>Die Punkte von „{name}“ liegen nirgends auf dem Raster „{raster}“. Wählen Sie das Raster unter den Punkten; sollten sie dort liegen, berichtigen Sie das KBS des Layers ({crs}).</translation></message>
<message><source>The program goes on writing; the rest is not shown.</source>
<translation>Das Programm schreibt weiter; der Rest wird nicht gezeigt.</translation></message>
<message><source>The program {program} could not be started: {reason}.</source>
<translation>Das Programm {program} konnte nicht gestartet werden: {reason}.</translation></message>
<message><source>The project has no CRS yet. Load the image to be mapped first.</source>
<translation>Das Projekt hat noch kein KBS. Laden Sie zuerst das Bild, das kartiert werden soll.</translation></message>
<message><source>The proxy refused the connection. Correct it under Settings &gt; Options &gt; Network.</source>
<translation>Der Proxy hat die Verbindung abgelehnt. Berichtigen Sie ihn unter Einstellungen &gt; Optionen &gt; Netzwerk.</translation></message>
<message><source>The report is on the clipboard.</source>
<translation>Der Bericht ist in der Zwischenablage.</translation></message>
<message><source>The result in one sentence</source>
<translation>Das Ergebnis in einem Satz</translation></message>
<message><source>The study is done, in {OUTPUT}. Next: open report.html in that folder.</source>
<translation>Die Studie ist fertig, in {OUTPUT}. Als Nächstes: Öffnen Sie report.html in diesem Ordner.</translation></message>
<message><source>The tool is missing. Enable the provider geopointseg in the Processing options.</source>
<translation>Das Werkzeug fehlt. Schalten Sie den Anbieter geopointseg in den Verarbeitungsoptionen ein.</translation></message>
<message><source>The weights are ready, in {OUTPUT}. Next: 'Train model', with this folder as starting weights.</source>
<translation>Die Gewichte sind fertig, in {OUTPUT}. Als Nächstes: „Modell trainieren“, mit diesem Ordner als Startgewichten.</translation></message>
<message><source>There are no points yet. Pick a class and click on the map.</source>
<translation>Es gibt noch keine Punkte. Wählen Sie eine Klasse und klicken Sie auf die Karte.</translation></message>
<message><source>There are no points yet. Press 'New…', or choose a point layer.</source>
<translation>Es gibt noch keine Punkte. Drücken Sie „Neu…“, oder wählen Sie einen Punktlayer.</translation></message>
<message><source>There is no file or folder {path}. Choose the wheel file of geopointseg.</source>
<translation>Es gibt keine Datei und keinen Ordner {path}. Wählen Sie die Wheel-Datei von geopointseg.</translation></message>
<message><source>There is no image yet. Drag the raster to be mapped into QGIS.</source>
<translation>Es gibt noch kein Bild. Ziehen Sie das Raster, das kartiert werden soll, in QGIS.</translation></message>
<message><source>There is no map yet. Press 'Map' first.</source>
<translation>Es gibt noch keine Karte. Drücken Sie zuerst „Karte“.</translation></message>
<message><source>There is no model yet. Press 'Train' first, or choose the folder of a model.</source>
<translation>Es gibt noch kein Modell. Drücken Sie zuerst „Trainieren“, oder wählen Sie den Ordner eines Modells.</translation></message>
<message><source>This folder holds no model of geopointseg.</source>
<translation>Dieser Ordner enthält kein Modell von geopointseg.</translation></message>
<message><source>This one is answered.</source>
<translation>Diese Frage ist beantwortet.</translation></message>
<message><source>This place does not exist in the layer's CRS.</source>
<translation>Diesen Ort gibt es im KBS des Layers nicht.</translation></message>
<message><source>This point lies outside of '{raster}' and cannot be used with it.</source>
<translation>Dieser Punkt liegt außerhalb von „{raster}“ und kann damit nicht verwendet werden.</translation></message>
<message><source>Three scales</source>
<translation>Drei Maßstäbe</translation></message>
<message><source>Town</source>
<translation>Stadt</translation></message>
<message><source>Train</source>
<translation>Trainieren</translation></message>
<message><source>Train a model with the points on the image.</source>
<translation>Trainiert ein Modell mit den Punkten auf dem Bild.</translation></message>
<message><source>Train and assess at all levels of the factors of a study, and write the report.</source>
<translation>Trainiert und bewertet auf allen Stufen der Faktoren einer Studie und schreibt den Bericht.</translation></message>
<message><source>Train anew in a folder that holds a model. The old model is lost.</source>
<translation>Trainiert neu in einem Ordner, der ein Modell enthält. Das alte Modell geht verloren.</translation></message>
<message><source>Train for</source>
<translation>Training</translation></message>
<message><source>Train model</source>
<translation>Modell trainieren</translation></message>
<message><source>Train with the same points for the time that is set above; a network is trained, too, where the time is more than one minute.</source>
<translation>Mit denselben Punkten so lange trainieren, wie oben eingestellt ist; bei mehr als einer Minute wird auch ein Netz trainiert.</translation></message>
<message><source>Training points</source>
<translation>Trainingspunkte</translation></message>
<message><source>Training steps instead of time</source>
<translation>Trainingsschritte statt Zeit</translation></message>
<message><source>Trains a model from a raster and points of known class.</source>
<translation>Trainiert ein Modell aus einem Raster und Punkten bekannter Klasse.</translation></message>
<message><source>Tree</source>
<translation>Baum</translation></message>
<message><source>Uncertainty</source>
<translation>Unsicherheit</translation></message>
<message><source>Uncertainty of {RASTER}</source>
<translation>Unsicherheit von {RASTER}</translation></message>
<message><source>Undo</source>
<translation>Rückgängig</translation></message>
<message><source>Unlikeness of {RASTER}</source>
<translation>Unähnlichkeit von {RASTER}</translation></message>
<message><source>Unlikeness to the training points</source>
<translation>Unähnlichkeit zu den Trainingspunkten</translation></message>
<message><source>Unpacking; this takes some minutes.</source>
<translation>Entpacken; das dauert einige Minuten.</translation></message>
<message><source>Use an NVIDIA graphics card</source>
<translation>Eine NVIDIA-Grafikkarte verwenden</translation></message>
<message><source>Use an environment that is there</source>
<translation>Eine vorhandene Umgebung verwenden</translation></message>
<message><source>Use it</source>
<translation>Verwenden</translation></message>
<message><source>Use the NVIDIA graphics card (about 4 GB more)</source>
<translation>Die NVIDIA-Grafikkarte verwenden (etwa 4 GB mehr)</translation></message>
<message><source>Validate by spatial blocks</source>
<translation>Mit räumlichen Blöcken validieren</translation></message>
<message><source>Validation with {POINTS}</source>
<translation>Validierung mit {POINTS}</translation></message>
<message><source>Version of geopointseg</source>
<translation>Version von geopointseg</translation></message>
<message><source>Water</source>
<translation>Wasser</translation></message>
<message><source>Water or not</source>
<translation>Wasser oder nicht</translation></message>
<message><source>Weighting of overlapping windows.</source>
<translation>Gewichtung überlappender Fenster.</translation></message>
<message><source>Weights folder</source>
<translation>Ordner der Gewichte</translation></message>
<message><source>Weights to start from: a name, a file, a folder made by 'Pretrain without points', or 'none'.</source>
<translation>Gewichte, von denen das Training ausgeht: ein Name, eine Datei, ein Ordner von „Ohne Punkte vortrainieren“, oder „none“.</translation></message>
<message><source>What is held out in turn</source>
<translation>Was reihum zurückgehalten wird</translation></message>
<message><source>What is here?</source>
<translation>Was ist hier?</translation></message>
<message><source>What is trained. The default trains network, linear model and forest, and weights them; on imagery with colours alone the forest is in reserve.</source>
<translation>Was trainiert wird. Sonst werden Netz, lineares Modell und Forest trainiert und gewichtet; hat ein Bild nur Farben, bleibt der Forest in Reserve.</translation></message>
<message><source>What the picture shows</source>
<translation>Was das Bild zeigt</translation></message>
<message><source>Where networks run.</source>
<translation>Wo Netze rechnen.</translation></message>
<message><source>Where next</source>
<translation>Wo weiter</translation></message>
<message><source>Where next on {RASTER}</source>
<translation>Wohin als Nächstes auf {RASTER}</translation></message>
<message><source>Where next?</source>
<translation>Wo weiter?</translation></message>
<message><source>Where the model is sure</source>
<translation>Wo das Modell sicher ist</translation></message>
<message><source>Which class is it? Click on it here, or press its key.</source>
<translation>Welche Klasse ist es? Klicken Sie sie hier an, oder drücken Sie ihre Taste.</translation></message>
<message><source>Whole rasters</source>
<translation>Ganze Raster</translation></message>
<message><source>Why these members were kept</source>
<translation>Warum diese Mitglieder behalten wurden</translation></message>
<message><source>Without a class: {count}.</source>
<translation>Ohne Klasse: {count}.</translation></message>
<message><source>Write the model of this picture to a folder</source>
<translation>Das Modell dieses Bildes in einen Ordner schreiben</translation></message>
<message><source>about {time} left</source>
<translation>noch etwa {time}</translation></message>
<message><source>applicability</source>
<translation>Messen der Unähnlichkeit</translation></message>
<message><source>assess</source>
<translation>Vergleichen</translation></message>
<message><source>check</source>
<translation>Prüfen</translation></message>
<message><source>forest</source>
<translation>Trainieren des Walds</translation></message>
<message><source>geopointseg ended with code {code} and without a result that this plugin understands. Plugin and geopointseg must fit together: upgrade both, then run 'Check the set-up'.</source>
<translation>geopointseg endete mit Code {code} und ohne ein Ergebnis, das diese Erweiterung versteht. Erweiterung und geopointseg müssen zusammenpassen: Erneuern Sie beide und starten Sie dann „Einrichtung prüfen“.</translation></message>
<message><source>geopointseg is set up. It runs with {path}.</source>
<translation>geopointseg ist eingerichtet. Es läuft mit {path}.</translation></message>
<message><source>geopointseg is set up. Next: 'Load the demo', or open your raster and make a points layer.</source>
<translation>geopointseg ist eingerichtet. Als Nächstes: „Demo laden“, oder öffnen Sie Ihr Raster und legen Sie einen Punktlayer an.</translation></message>
<message><source>geopointseg needs a Python of its own; nothing is installed into QGIS.</source>
<translation>geopointseg braucht ein eigenes Python; in QGIS wird nichts installiert.</translation></message>
<message><source>geopointseg was killed in the middle of its work (signal {code}), most often because memory ran out. No output was written. Close other programs or use smaller rasters.</source>
<translation>geopointseg wurde mitten in der Arbeit beendet (Signal {code}), meist weil der Speicher ausging. Es wurde kein Ergebnis geschrieben. Schließen Sie andere Programme oder verwenden Sie kleinere Raster.</translation></message>
<message><source>geopointseg:</source>
<translation>geopointseg:</translation></message>
<message><source>geopointseg: wheel file or source folder (empty: the one of the plugin)</source>
<translation>geopointseg: Wheel-Datei oder Quellordner (leer: die der Erweiterung)</translation></message>
<message><source>georeference</source>
<translation>Georeferenzieren</translation></message>
<message><source>it is a text file, which QGIS cannot edit</source>
<translation>er ist eine Textdatei, die QGIS nicht bearbeiten kann</translation></message>
<message><source>it is set to read-only</source>
<translation>er ist auf „nur lesen“ gesetzt</translation></message>
<message><source>its file or database is write-protected</source>
<translation>seine Datei oder Datenbank ist schreibgeschützt</translation></message>
<message><source>its process was killed (signal {code})</source>
<translation>sein Prozess wurde abgebrochen (Signal {code})</translation></message>
<message><source>look up</source>
<translation>Nachsehen</translation></message>
<message><source>match</source>
<translation>Angleichen</translation></message>
<message><source>none yet: press 'Train'</source>
<translation>noch keines: „Trainieren“ drücken</translation></message>
<message><source>predict</source>
<translation>Kartieren</translation></message>
<message><source>read</source>
<translation>Lesen</translation></message>
<message><source>simulate</source>
<translation>Ziehen</translation></message>
<message><source>statistics</source>
<translation>Messen der Kanäle</translation></message>
<message><source>study</source>
<translation>Studie</translation></message>
<message><source>suggest</source>
<translation>Suchen</translation></message>
<message><source>the file geopointseg-….whl, or a source folder</source>
<translation>die Datei geopointseg-….whl oder ein Quellordner</translation></message>
<message><source>train</source>
<translation>Trainieren</translation></message>
<message><source>validate</source>
<translation>Trainieren und Testen im Wechsel</translation></message>
<message><source>write</source>
<translation>Schreiben</translation></message>
<message><source>{POINTS}, split</source>
<translation>{POINTS}, geteilt</translation></message>
<message><source>{POINTS}, test</source>
<translation>{POINTS}, Test</translation></message>
<message><source>{POINTS}, training</source>
<translation>{POINTS}, Training</translation></message>
<message><source>{POINT_COUNT} places were found where a new point helps most. Next: say what is there, add the points to yours and train again.</source>
<translation>{POINT_COUNT} Orte wurden gefunden, an denen ein neuer Punkt am meisten hilft. Als Nächstes: Bestimmen Sie, was dort ist, fügen Sie die Punkte zu Ihren hinzu und trainieren Sie erneut.</translation></message>
<message><source>{POINT_COUNT} points were checked: they can be used, with {FINDING_COUNT} remarks above. Next: 'Train model'.</source>
<translation>{POINT_COUNT} Punkte wurden geprüft: Sie sind brauchbar, mit {FINDING_COUNT} Bemerkungen (siehe oben). Als Nächstes: „Modell trainieren“.</translation></message>
<message><source>{POINT_COUNT} points were checked: they cannot be used yet, see the {FINDING_COUNT} remarks above. Next: correct the points and check again.</source>
<translation>{POINT_COUNT} Punkte wurden geprüft: Sie sind noch nicht brauchbar, siehe die {FINDING_COUNT} Bemerkungen oben. Als Nächstes: Berichtigen Sie die Punkte und prüfen Sie erneut.</translation></message>
<message><source>{POINT_COUNT} points were drawn. Next: 'Check points' or 'Train model'.</source>
<translation>{POINT_COUNT} Punkte wurden gezogen. Als Nächstes: „Punkte prüfen“ oder „Modell trainieren“.</translation></message>
<message><source>{POINT_COUNT} points were drawn. Next: fill in the class of each, then run 'Assess map' with sampling 'At random within each class of the map'.</source>
<translation>{POINT_COUNT} Punkte wurden gezogen. Als Nächstes: Tragen Sie die Klasse jedes Punkts ein und starten Sie dann „Karte bewerten“ mit der Ziehung „Zufällig innerhalb jeder Klasse der Karte“.</translation></message>
<message><source>{POINT_COUNT} points were split by blocks of ground. Next: 'Train model' with the training points, later 'Assess map' with the test points.</source>
<translation>{POINT_COUNT} Punkte wurden nach Blöcken im Gelände geteilt. Als Nächstes: „Modell trainieren“ mit den Trainingspunkten, später „Karte bewerten“ mit den Testpunkten.</translation></message>
<message><source>{RASTER}, matched</source>
<translation>{RASTER}, angeglichen</translation></message>
<message><source>{first} or {second}?</source>
<translation>{first} oder {second}?</translation></message>
<message><source>{number} h</source>
<translation>{number} h</translation></message>
<message><source>{number} min</source>
<translation>{number} min</translation></message>
<message><source>{number} s</source>
<translation>{number} s</translation></message>
<message><source>{points} points in {classes} classes.</source>
<translation>{points} Punkte in {classes} Klassen.</translation></message>
</context></TS>
