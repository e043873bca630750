import os
from flask import Blueprint, abort, current_app, redirect, render_template, \
    request, send_from_directory, url_for
from flask_babel import _
from werkzeug.utils import secure_filename
from app import db
from app.models import Post

bp = Blueprint('main', __name__)


@bp.route('/', methods=['GET', 'POST'])
@bp.route('/index', methods=['GET', 'POST'])
def index():
    if request.method == 'POST':
        body = request.form.get('body', '').strip()
        if not body or len(body) > 140:
            abort(400)
        db.session.add(Post(body=body))
        db.session.commit()
        current_app.logger.info('new post: %s', body)
        return redirect(url_for('main.index'))
    posts = Post.query.order_by(Post.timestamp.desc()).limit(25).all()
    return render_template('index.html', title=_('Home'), posts=posts)


@bp.route('/upload', methods=['POST'])
def upload():
    file = request.files['file']
    name = secure_filename(file.filename)
    file.save(os.path.join(current_app.config['UPLOAD_FOLDER'], name))
    return redirect(url_for('main.uploaded', name=name))


@bp.route('/uploads/<name>')
def uploaded(name):
    return send_from_directory(current_app.config['UPLOAD_FOLDER'], name)
