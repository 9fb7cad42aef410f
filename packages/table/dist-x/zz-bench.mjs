import { Table, openReader } from './index.js';
import * as R from '@rulecast/rules';
import fs from 'node:fs';
const env={now:1000,dns:[]};
const rss=()=>(process.memoryUsage().rss/1e6).toFixed(0)+'MB';
function rng(s){return ()=>{s=(s+0x9e3779b9)|0;let w=Math.imul(s^(s>>>16),0x21f0aaad);w=Math.imul(w^(w>>>15),0x735a2d97);return (w^(w>>>15))>>>0;}}
function setOf(lists, extra=[]) { const b=new R.RunBuilder(); for (const n of lists.keys()) b.push({action:'drop',proto:undefined,dns:false,ports:undefined,icmpType:undefined,expire:undefined,comment:undefined,remote:{kind:'list',list:n}});
 const policies=new Map([['default',{...R.emptyPolicy('default'),defaultAction:'accept',egress:b.build()}]]); return {lists,policies,resolutions:new Map()}; }
function bench(name, rs, addrs, batchOnly=false) {
  const t=new Table(); let best=1e9,p;
  for(let k=0;k<5;k++){const a=performance.now(); p=t.prepare(rs,env); const b=performance.now(); best=Math.min(best,b-a); if(k==0) console.log(name,'first build',(b-a).toFixed(0),'ms'); t.flip(p);} 
  const s=t.stats(); console.log(name,'best build',best.toFixed(0),'ms', JSON.stringify({bytes:s.bytes,perEntry:(s.bytes/s.entries).toFixed(1),classes:s.classes,entries:s.entries,b4:s.boundaries4,b6:s.boundaries6}), rss());
  const r=openReader(t.handle()); const n=addrs.length; let sum=0;
  const src = 0x0a000005|0;
  for (const [w,f] of [['table.lookup4',(a)=>t.lookup4(0,src,a,6,443)],['reader.lookup4',(a)=>r.lookup4(0,src,a,6,443)]]) {
    let bt=1e9; for(let k=0;k<4;k++){const a=performance.now(); for(let i=0;i<n;i++) sum+=f(addrs[i])&3; bt=Math.min(bt,performance.now()-a);} console.log('  ',w,(n/bt/1e3).toFixed(1),'M/s'); }
  const dst=new Uint32Array(addrs.buffer), out={codes:new Uint32Array(n),generation:0}; const batch={family:4,direction:0,count:n,src:undefined,dst,protos:new Uint8Array(n).fill(6),details:new Int32Array(n).fill(443)};
  let bt=1e9; for(let k=0;k<4;k++){const a=performance.now(); r.lookupBatch(batch,out); bt=Math.min(bt,performance.now()-a);} console.log('   batch',(n/bt/1e3).toFixed(1),'M/s', sum);
}
const which=process.argv[2];
const next=rng(1);
if (which==='random') { const n=1000000; const w=new Uint32Array(n); for(let i=0;i<n;i++)w[i]=next(); const col=R.canonicalPrefixes({family:4,words:w,lengths:new Uint8Array(n).fill(32)});
  const addrs=new Int32Array(1<<20); for(let i=0;i<addrs.length;i++) addrs[i]= i&1? next(): col.words[next()%col.words.length]; console.log(rss());
  bench('1M /32', setOf(new Map([['a',R.prefixListOf({v4:col,v6:R.emptyPrefixes(6)})]])), addrs); }
if (which==='many') { const lists=new Map(); const all=[]; for(let l=0;l<20;l++){const n=50000; const w=new Uint32Array(n),ls=new Uint8Array(n); for(let i=0;i<n;i++){ls[i]=[16,20,22,24,24,24,28,32,32][next()%9]; w[i]=next()&R.wordMask(ls[i]);} const col=R.canonicalPrefixes({family:4,words:w,lengths:ls}); all.push(col.words); lists.set('l'+l,R.prefixListOf({v4:col,v6:R.emptyPrefixes(6)}));}
  const addrs=new Int32Array(1<<20); for(let i=0;i<addrs.length;i++){const c=all[next()%20]; addrs[i]= i&1? next(): c[next()%c.length];} bench('20 lists x 50k', setOf(lists), addrs); }
if (which==='alt'||which==='one') { const b=new R.RunBuilder(); const m={proto:undefined,dns:false,ports:undefined,icmpType:undefined,expire:undefined,comment:undefined}; const w=new Uint32Array(1); for(let i=0;i<1<<18;i++){w[0]=(0xac100000+i*4)>>>0; b.pushPrefix({...m,action: which==='alt'&&(i&1)?'accept':'drop'},4,w,0,30);} b.push({...m,action:'accept',remote:{kind:'any'}});
  const rs={lists:new Map(),resolutions:new Map(),policies:new Map([['default',{...R.emptyPolicy('default'),egress:b.build()}]])};
  const addrs=new Int32Array(1<<20); for(let i=0;i<addrs.length;i++) addrs[i]= i&1? next(): 0xac100000+(next()&0xfffff); bench(which, rs, addrs); }
if (which==='v6') { const n=628000; const b=new R.PrefixBuilder(6,n); const w=new Uint32Array(4); for(let i=0;i<n;i++){const len=[32,36,40,44,48,48,48,48,56,64][next()%10]; w[0]=[0x20010000,0x24000000,0x26000000,0x2a000000,0x2a020000,0x28000000][next()%6]+(next()&0xffff)|0; w[1]=next();w[2]=0;w[3]=0; const p=R.prefixOf(6,w,len); b.push(p.words,0,len);} const col=R.canonicalPrefixes(b.build());
  const rs=setOf(new Map([['a',R.prefixListOf({v4:R.emptyPrefixes(4),v6:col})]])); const t=new Table(); for(let k=0;k<4;k++){const a=performance.now(); t.flip(t.prepare(rs,env)); console.log('v6 build',(performance.now()-a).toFixed(0));} const s=t.stats(); console.log(JSON.stringify(s),(s.bytes/s.entries).toFixed(1), rss());
  const N=1<<20; const dst=new Uint32Array(N*4); for(let i=0;i<N;i++){const e=next()%col.lengths.length; dst.set(col.words.subarray(e*4,e*4+4),i*4); if(i&1)dst[i*4+1]=next(); dst[i*4+3]=next();}
  let sum=0,bt=1e9; for(let k=0;k<4;k++){const a=performance.now(); for(let i=0;i<N;i++) sum+=t.lookup6(0,undefined,0,dst,i*4,6,443)&3; bt=Math.min(bt,performance.now()-a);} console.log('lookup6',(N/bt/1e3).toFixed(1),'M/s',sum); }
